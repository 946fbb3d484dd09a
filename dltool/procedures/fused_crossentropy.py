"""Cross-entropy over many classes, computed a few rows at a time."""

from __future__ import annotations

from typing import Any

import keras

from dltool.crossentropy import MANY, crossentropy
from dltool.losses.label_smoothed_crossentropy import LabelSmoothedCrossentropy


def fuse(model: Any) -> bool:
    """Let a compiled model's cross-entropy of logits and class indices be computed by `crossentropy`.

    The same value, equal to rounding; TokenAccuracy and Perplexity take what it found of each row.

    Args:
        model: compiled, and not trained since.
    Returns:
        Whether it was done: of a single output with 1,024 classes or more in the last axis, and as its loss
            LabelSmoothedCrossentropy, or SparseCategoricalCrossentropy of logits without a class that is ignored.
            What the model was compiled with, and is saved with, stays as it was.
    Limits: not for XLA, which cannot know how many rows a turn of the loop has.
    """
    compiled = getattr(model, "_compile_loss", None)
    if compiled is None or compiled.built or len(model.outputs) != 1:
        return False
    loss, shape = compiled._user_loss, model.outputs[0].shape
    smoothing = _smoothing(loss, len(shape))
    if smoothing is None or (shape[-1] or 0) < MANY:
        return False
    compiled._user_loss = _RowwiseCrossentropy(smoothing, loss)
    return True


def _smoothing(loss: Any, rank: int) -> float | None:
    """Of a loss that `crossentropy` computes, else None."""
    if type(loss) is LabelSmoothedCrossentropy:
        return float(loss.label_smoothing)
    if type(loss) is not keras.losses.SparseCategoricalCrossentropy:
        return None
    fits = loss.from_logits and loss.ignore_class is None and loss._fn_kwargs["axis"] in (-1, rank - 1)
    return 0.0 if fits else None


class _RowwiseCrossentropy(keras.losses.Loss):
    """What `like` gives, a Loss, by `crossentropy`."""

    def __init__(self, smoothing: float, like: Any) -> None:
        super().__init__(like.name, like.reduction, like.dtype)
        self.smoothing = smoothing

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        # Loss.__call__ casts what it is given to float32, which for all logits at once is a large part of the work
        if len(y_true.shape) == len(y_pred.shape):
            y_true = keras.ops.squeeze(y_true, axis=-1)
        nats = crossentropy(y_pred, y_true, self.smoothing)
        mask = getattr(y_pred, "_keras_mask", None)
        if mask is not None:
            nats._keras_mask = mask
        return super().__call__(y_true, nats, sample_weight)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        return y_pred  # the nats of each row
