"""A model that auxiliary classifiers help to train."""

from __future__ import annotations

from typing import Any

import keras


@keras.saving.register_keras_serializable("dltool")
class DeeplySupervised(keras.Model):
    """A functional model of several classifiers of the same classes: loss = loss(y, main) + 0.3 * sum(loss(y, others)).

    In training all outputs are computed; otherwise only the first, the main classifier's, is given, and metrics are
    the main classifier's always.

    Args:
        inputs, outputs, name: as of `keras.Model`; outputs a list, the main classifier's first.
    Limits: `compile` takes one loss, not one an output.
    Reference: Szegedy et al., 2015, Going deeper with convolutions, section 5.
    """

    auxiliary_weight = 0.3

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        outputs = super().call(inputs, training=training, mask=mask)
        return outputs if training else outputs[0]

    def compute_loss(self, x: Any = None, y: Any = None, y_pred: Any = None, *args: Any, **kwargs: Any) -> Any:
        main, others = _divided(y_pred)
        loss = super().compute_loss(x, y, main, *args, **kwargs)
        weights = args[0] if args else kwargs.get("sample_weight")
        function = keras.losses.get(self.loss)
        return loss + self.auxiliary_weight * sum(function(y, other, sample_weight=weights) for other in others)

    def compute_metrics(self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        return super().compute_metrics(x, y, _divided(y_pred)[0], sample_weight)


def _divided(outputs: Any) -> tuple[Any, list[Any]]:
    return (outputs[0], list(outputs[1:])) if isinstance(outputs, list | tuple) else (outputs, [])
