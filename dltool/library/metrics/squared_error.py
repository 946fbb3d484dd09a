"""How far an output of many values lies from its target."""

from __future__ import annotations

from typing import Any

import keras


@keras.saving.register_keras_serializable("dltool")
class SquaredError(keras.metrics.Mean):
    """Squared error an example: the sum over its values of (y_pred - y_true)^2, averaged over examples.

    `MeanSquaredError` times the number of values; the measure in which papers report autoencoders.

    Args:
        from_logits: whether predictions pass a sigmoid first. Defaults to False.
    Shapes: targets and predictions (batch, ...), equal.
    Reference: Hinton & Salakhutdinov, 2006, Science 313, 504-507.
    """

    def __init__(self, from_logits: bool = False, name: str = "squared_error", **kwargs: Any) -> None:
        super().__init__(name=name, **kwargs)
        self.from_logits = from_logits

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        y_pred = keras.ops.cast(y_pred, self.dtype)
        y_pred = keras.ops.sigmoid(y_pred) if self.from_logits else y_pred
        squares = keras.ops.square(y_pred - keras.ops.cast(y_true, self.dtype))
        super().update_state(keras.ops.sum(squares, axis=tuple(range(1, len(squares.shape)))), sample_weight)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "from_logits": self.from_logits}
