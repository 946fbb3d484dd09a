"""Several classifiers of the same classes as one model, which averages what they say."""

from __future__ import annotations

import math
from typing import Any

import keras
import tensorflow as tf
from keras import ops

from dltool.graph import keras_internals


@keras.saving.register_keras_serializable("dltool")
class MeanProbability(keras.layers.Layer):
    """The mean of several classifiers' probabilities, as a logarithm: y = log(1/n sum over k of softmax(x_k)).

    The outputs are logits themselves, since softmax(y) is that mean.

    Input shape: a list of logits, each (batch, classes).   Output shape: (batch, classes).
    """

    def call(self, inputs: Any) -> Any:
        logs = ops.log_softmax(ops.stack([ops.cast(x, "float32") for x in inputs], axis=1), axis=-1)
        return ops.logsumexp(logs, axis=1) - math.log(len(inputs))  # logs: (batch, n, classes)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape[0]


@keras.saving.register_keras_serializable("dltool")
class CommitteeModel(keras.Model):
    """A functional model of classifiers that share no weights: trained together, answering with their average.

    In training the loss is the sum of the members' own, so each gets the gradients it would get alone. Otherwise the
    output and the loss are the average's. The compiled metrics are the average's always; `accuracy_1`, `accuracy_2`,
    ... are each member's own, in training (with dropout, on augmented data) as in evaluation.

    Args:
        inputs, outputs, name: as of `keras.Model`; outputs a list, the average's logits first, then each member's.
    Limits: `compile` takes one loss, of one class an example; a loss in training is the members' sum, so not to be
        compared with one in validation. An optimizer with `global_clipnorm` couples the members.
    Reference: Ciresan, Meier & Schmidhuber, 2012, Multi-column deep neural networks, equation 1.
    """

    def __init__(self, inputs: Any, outputs: Any, name: str | None = None, **kwargs: Any) -> None:
        super().__init__(inputs, outputs, name=name, **kwargs)
        self.accuracies = [keras.metrics.Mean(name=f"accuracy_{n}") for n in range(1, len(self.outputs))]

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        outputs = self.every_output(inputs, training=training, mask=mask)
        return outputs if training else outputs[0]

    def every_output(self, inputs: Any, training: bool | None = None, mask: Any = None) -> list[Any]:
        """Return the average's logits, then each member's."""
        return super().call(inputs, training=training, mask=mask)

    def test_step(self, data: Any) -> Any:
        x, y, weights = keras.utils.unpack_x_y_sample_weight(data)
        outputs = self.every_output(x, training=False)
        loss = self.compute_loss(x, y, outputs, weights, training=False)
        keras_internals.loss_tracker(self).update_state(loss, sample_weight=ops.shape(outputs[0])[0])
        return self.compute_metrics(x, y, outputs, weights)

    def compute_loss(
        self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None, training: bool = True
    ) -> Any:
        average, members = _divided(y_pred)
        if not training or not members:
            return super().compute_loss(x, y, average, sample_weight, training)
        loss = super().compute_loss(x, y, members[0], sample_weight, training)  # with the penalties of all weights
        judge = keras_internals.compiled_loss(self)
        return loss + sum(judge(y, member, sample_weight) for member in members[1:])

    def compute_metrics(self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        average, members = _divided(y_pred)
        for accuracy, member in zip(self.accuracies, members, strict=False):
            accuracy.update_state(_hits(y, member), sample_weight=sample_weight)
        return super().compute_metrics(x, y, average, sample_weight)

    def get_metrics_result(self) -> Any:
        """Return metrics by name, without the members' accuracies if only averages were evaluated."""
        results = super().get_metrics_result()
        if tf.executing_eagerly():
            for accuracy in self.accuracies:
                if float(accuracy.count) == 0:
                    del results[accuracy.name]
        return results


def _divided(outputs: Any) -> tuple[Any, list[Any]]:
    return (outputs[0], list(outputs[1:])) if isinstance(outputs, list | tuple) else (outputs, [])


def _hits(y: Any, logits: Any) -> Any:
    """Return 1 for each example whose class has the largest logit, otherwise 0: (batch,)."""
    one_hot = len(y.shape) == 2 and y.shape[-1] == logits.shape[-1]
    labels = ops.argmax(y, axis=-1) if one_hot else ops.reshape(y, (-1,))
    return ops.cast(ops.equal(ops.argmax(logits, axis=-1), ops.cast(labels, "int32")), "float32")
