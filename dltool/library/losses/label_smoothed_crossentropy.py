"""Cross-entropy with smoothed labels, of class indices and logits."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable("dltool")
class LabelSmoothedCrossentropy(keras.losses.Loss):
    """(1 - e) * -log p[y] + e * mean over classes of -log p, in nats; p = softmax(logits), e = label_smoothing.

    The same as Keras's CategoricalCrossentropy with label_smoothing, but for class indices: no one-hot targets of the
    size of the logits. With e = 0 it is SparseCategoricalCrossentropy(from_logits=True).

    Args:
        label_smoothing: e, in [0, 1). Defaults to 0.1.
        reduction: as in Keras's losses. Defaults to the mean over targets that are not masked.
    Raises:
        ValueError: if `label_smoothing` is out of its range.
    Limits: its value is no likelihood: compute the perplexity from the cross-entropy without smoothing.
    Reference: Szegedy et al., 2016, Rethinking the inception architecture for computer vision, section 7.
    """

    reads = ("sparse", True)  # targets are class indices, outputs are logits

    def __init__(
        self,
        label_smoothing: float = 0.1,
        reduction: str = "sum_over_batch_size",
        name: str = "label_smoothed_crossentropy",
        dtype: Any = None,
    ) -> None:
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        if not 0 <= label_smoothing < 1:
            raise ValueError(
                "The 'label_smoothing' parameter of LabelSmoothedCrossentropy must be a number in [0, 1). "
                f"Got {label_smoothing!r} instead."
            )
        self.label_smoothing = label_smoothing

    def call(self, y_true: Any, y_pred: Any) -> Any:
        if not self.label_smoothing:
            return keras.losses.sparse_categorical_crossentropy(y_true, y_pred, from_logits=True)
        classes = y_pred.shape[-1]
        logits, labels = tf.reshape(y_pred, [-1, classes]), tf.reshape(tf.cast(y_true, tf.int32), [-1])
        return tf.reshape(_smoothed(logits, labels, self.label_smoothing), tf.shape(y_pred)[:-1])

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "label_smoothing": self.label_smoothing}


def _smoothed(logits: Any, labels: Any, smoothing: float) -> Any:
    """Return the loss of each row of logits (rows, K), with its gradient.

    The gradient is softmax - e/K - (1 - e) [k = y], in few passes.
    """

    @tf.custom_gradient
    def loss(logits: Any) -> Any:
        nats, difference = tf.raw_ops.SparseSoftmaxCrossEntropyWithLogits(features=logits, labels=labels)
        chosen = tf.gather(logits, labels, batch_dims=1)
        # log sum exp = -log p[y] + logit[y], so that the smoothed loss needs no softmax of its own
        value = nats + smoothing * (chosen - tf.reduce_mean(logits, axis=-1))

        def gradient(upstream: Any) -> Any:
            weights = upstream[:, tf.newaxis]
            places = tf.stack([tf.range(tf.shape(labels)[0]), labels], axis=1)
            found = (difference - smoothing / logits.shape[-1]) * weights  # softmax - [k = y], less e/K
            return tf.tensor_scatter_nd_add(found, places, smoothing * upstream)

        return value, gradient

    return loss(logits)
