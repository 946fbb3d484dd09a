"""How many equally likely tokens a model's uncertainty amounts to."""

from __future__ import annotations

from typing import Any

import keras

from dltool.graph import keras_internals
from dltool.ops.crossentropy import kept_crossentropy


@keras.saving.register_keras_serializable("dltool")
class Perplexity(keras.metrics.Metric):
    """Perplexity of classes as indices: exp of the mean cross-entropy in nats, -ln p(y) a target.

    Args:
        from_logits: whether predictions are logits rather than probabilities. Defaults to False.
    Shapes: targets (...), predictions (..., classes); predictions that a mask leaves out, of padding, do not count.
    Limits: comparable only between models of the same tokens: of characters it lies far below that of words.
    Reference: Jelinek et al., 1977, J. Acoust. Soc. Am. 62(S1), S63.
    """

    def __init__(self, from_logits: bool = False, name: str = "perplexity", **kwargs: Any) -> None:
        super().__init__(name=name, **kwargs)
        self.from_logits = from_logits
        self.nats = self.add_variable((), "zeros", name="nats")
        self.count = self.add_variable((), "zeros", name="count")

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        mask = keras_internals.mask_of(y_pred)  # lost by the cast
        nats = kept_crossentropy(y_pred, y_true) if self.from_logits else None  # of the loss, where it has it
        if nats is None:
            y_pred = keras.ops.cast(y_pred, self.dtype)
            nats = keras.ops.sparse_categorical_crossentropy(y_true, y_pred, from_logits=self.from_logits)
        nats = keras.ops.cast(nats, self.dtype)
        weights = keras.ops.ones_like(nats) if mask is None else keras.ops.cast(mask, nats.dtype)
        if sample_weight is not None:
            weights = weights * keras.ops.cast(sample_weight, nats.dtype)
        self.nats.assign_add(keras.ops.sum(nats * weights))
        self.count.assign_add(keras.ops.sum(weights))

    def mean(self) -> Any:
        """Nats a target."""
        return keras.ops.divide_no_nan(self.nats, self.count)

    def result(self) -> Any:
        return keras.ops.exp(self.mean())

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "from_logits": self.from_logits}
