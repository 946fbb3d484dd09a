"""How often the most probable token is the right one."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from dltool.ops.crossentropy import kept_statistics


@keras.saving.register_keras_serializable("dltool")
class TokenAccuracy(keras.metrics.MeanMetricWrapper):
    """Share of targets that no other class has a higher score than.

    Keras's SparseCategoricalAccuracy, but for ties, at a fraction of its time where classes are many: the largest
    score of each is looked for, which all cores do, not its place.

    Shapes: targets int (...), predictions (..., classes), logits or probabilities; what a mask leaves out, of
        padding, does not count.
    Limits: of equal largest scores each counts as right, also where all are equal; in bfloat16, of three digits, some
        are equal that in float32 would not be.
    """

    def __init__(self, name: str = "token_accuracy", dtype: Any = None) -> None:
        super().__init__(_hits, name=name, dtype=dtype)
        self._direction = "up"

    def get_config(self) -> dict[str, Any]:
        return {"name": self.name, "dtype": self.dtype}


def _hits(y_true: Any, y_pred: Any) -> Any:
    labels = ops.cast(y_true, "int32")[..., None]
    chosen = ops.squeeze(ops.take_along_axis(y_pred, labels, axis=-1), axis=-1)
    known = kept_statistics(y_pred)  # of the loss, where it has them
    largest = ops.max(y_pred, axis=-1) if known is None else ops.cast(known.largest, y_pred.dtype)
    return ops.cast(chosen >= largest, "float32")
