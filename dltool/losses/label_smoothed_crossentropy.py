"""Cross-entropy with smoothed labels, of class indices and logits."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable("dltool")
class LabelSmoothedCrossentropy(keras.losses.Loss):
    """(1 - e) * -log p[y] + e * mean over classes of -log p, in nats; p = softmax(logits), e = label_smoothing.

    The same as Keras's CategoricalCrossentropy with label_smoothing, but of class indices: no one-hot targets of the
    size of the logits. With e = 0 it is SparseCategoricalCrossentropy(from_logits=True).

    Args:
        label_smoothing: e, in [0, 1). Defaults to 0.1.
        reduction: as of Keras's losses. Defaults to the mean over targets, those that are masked left out.
    Raises:
        ValueError: if `label_smoothing` is out of its range.
    Limits: its value is no likelihood: perplexity is to be had of the cross-entropy without smoothing.
    Reference: Szegedy et al., 2016, Rethinking the inception architecture for computer vision, section 7.
    """

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
        labels = ops.cast(y_true, "int32")
        smoothing = self.label_smoothing
        loss = keras.losses.sparse_categorical_crossentropy(labels, y_pred, from_logits=True)
        if not smoothing:
            return loss
        # log sum exp = -log p[y] + logit[y], so that the smoothed loss needs no softmax of its own
        chosen = ops.squeeze(ops.take_along_axis(y_pred, labels[..., None], axis=-1), axis=-1)
        return loss + smoothing * (chosen - ops.mean(y_pred, axis=-1))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "label_smoothing": self.label_smoothing}
