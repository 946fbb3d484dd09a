"""Cross-entropy over many classes, computed a few rows at a time."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from dltool.graph import keras_internals
from dltool.library.losses.label_smoothed_crossentropy import LabelSmoothedCrossentropy
from dltool.ops.crossentropy import crossentropy
from dltool.ops.devices import has_gpu
from dltool.training.counting import same_count

MANY = 1024  # classes from which on it is worth a loop


def fuse(model: Any) -> bool:
    """Let `crossentropy` compute a model's cross-entropy of logits and class indices from now on.

    The value is the same, equal to rounding, in training and evaluation; TokenAccuracy and Perplexity reuse its
    statistics of each row.

    Args:
        model: compiled, its loss built: `compute_loss` was called.
    Returns:
        Whether it was done now: for a single output with 1,024 classes or more in the last axis and the loss
            LabelSmoothedCrossentropy, or SparseCategoricalCrossentropy of logits without an ignored class. The model is
            saved with the loss that it was compiled with.
    Limits: nothing is fused on a GPU, nor for computations in another type than float32; not for XLA, also not later.
    """
    compiled = keras_internals.compiled_loss(model)
    if has_gpu() or compiled is None or not compiled.built:
        return False
    losses = keras_internals.flat_losses(compiled)
    if not model.built or len(getattr(model, "outputs", None) or ()) != 1 or len(losses) != 1:
        return False
    (held,), shape = losses, model.outputs[0].shape
    loss = same_count(held.loss)
    smoothing = _smoothing(loss, len(shape))
    if smoothing is None or loss.dtype != "float32" or (shape[-1] or 0) < MANY:
        return False
    keras_internals.set_flat_losses(compiled, [held._replace(loss=_RowwiseCrossentropy(smoothing, loss))])
    return True


def _smoothing(loss: Any, rank: int) -> float | None:
    """Return the smoothing of a loss that `crossentropy` computes, otherwise None."""
    if type(loss) is LabelSmoothedCrossentropy:
        return float(loss.label_smoothing)
    if type(loss) is not keras.losses.SparseCategoricalCrossentropy:
        return None
    fits = loss.from_logits and loss.ignore_class is None and keras_internals.options_of(loss)["axis"] in (-1, rank - 1)
    return 0.0 if fits else None


class _RowwiseCrossentropy(keras.losses.Loss):
    """A loss with the value of `like`, computed by `crossentropy`."""

    def __init__(self, smoothing: float, like: Any) -> None:
        super().__init__(like.name, like.reduction, like.dtype)
        self.smoothing = smoothing

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        # Loss.__call__ casts what it is given to float32, which for all logits at once is a large part of the work
        nats = crossentropy(tf.convert_to_tensor(y_pred), y_true, self.smoothing)
        mask = keras_internals.mask_of(y_pred)
        if mask is not None:
            keras_internals.set_mask(nats, mask)
        return super().__call__(y_true, nats, sample_weight)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        return y_pred  # the nats of each row
