"""What the perceptron's rule minimises."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable("dltool")
class PerceptronLoss(keras.losses.Loss):
    """max(0, -y s) of a score s: how far a sample lies on the wrong side; y = -1 for class 0, +1 for class 1.

    Args:
        reduction: as in Keras's losses. Defaults to the mean over examples.
    Input shape: targets 0 and 1, (batch,) or (batch, 1); scores (batch, 1).
    Limits: 0 for w = 0, whatever the data, and for every w that separates them. It says nothing about probabilities.
    Reference: lecture slide 17: J(w) = 1/N sum over i of max(0, -y_i w . phi(x_i)).
    """

    reads = ("binary", True)  # targets are two classes, outputs are scores whose sign is the class

    def __init__(
        self, reduction: str = "sum_over_batch_size", name: str = "perceptron_loss", dtype: Any = None
    ) -> None:
        super().__init__(name=name, reduction=reduction, dtype=dtype)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        signs = 2 * ops.cast(ops.reshape(y_true, ops.shape(y_pred)), y_pred.dtype) - 1
        return ops.mean(ops.relu(-signs * y_pred), axis=-1)
