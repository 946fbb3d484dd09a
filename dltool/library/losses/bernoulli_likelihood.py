"""How unlikely inputs are under a model's probabilities, over all values of an example."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable("dltool")
class BernoulliLikelihood(keras.losses.Loss):
    """-log p(x | z) = sum over an example's values of -x log p - (1 - x) log(1 - p), in nats; p = sigmoid(logits).

    Keras's BinaryCrossentropy is the mean over values in place of the sum. With the sum, loss and KL divergence of a
    variational autoencoder have one unit, and their total is the negative evidence lower bound.

    Args:
        reduction: as in Keras's losses. Defaults to the mean over examples.
    Input shape: targets in [0, 1] and logits, both (batch, ...).
    Limits: targets between 0 and 1 count as probabilities, so the loss of a perfect model is not 0.
    Reference: Kingma & Welling, 2014, Auto-encoding variational Bayes, arXiv:1312.6114, appendix C.1.
    """

    reads = ("binary", True)  # targets are probabilities of a binary value, outputs are logits

    def __init__(
        self, reduction: str = "sum_over_batch_size", name: str = "bernoulli_likelihood", dtype: Any = None
    ) -> None:
        super().__init__(name=name, reduction=reduction, dtype=dtype)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        values = ops.relu(y_pred) - y_pred * ops.cast(y_true, y_pred.dtype) + ops.softplus(-ops.abs(y_pred))
        return ops.sum(values, axis=tuple(range(1, len(y_pred.shape))))
