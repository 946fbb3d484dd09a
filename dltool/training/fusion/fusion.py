"""The kernels that replace Keras's in training and evaluation: fewer and larger ones with the same results."""

from __future__ import annotations

from typing import Any

from dltool.training.fusion import fused_adam, fused_batch_normalization, fused_crossentropy, fused_recurrence


def fuse(model: Any) -> None:
    """Fuse the layers and the loss of a compiled model where possible; a second call changes nothing.

    The optimizer and the loss must be built.

    Limits: not for XLA, which fuses by itself; on a GPU neither layers nor loss.
    """
    fused_adam.fuse(model.optimizer)
    fused_batch_normalization.fuse(model)
    fused_crossentropy.fuse(model)
    fused_recurrence.fuse(model)
