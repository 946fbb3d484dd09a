"""What a model trains and is evaluated with in place of Keras's kernels: fewer and larger ones of the same results."""

from __future__ import annotations

from typing import Any

from dltool.training.fusion import fused_adam, fused_batch_normalization, fused_crossentropy, fused_recurrence


def fuse(model: Any) -> None:
    """Fuse what can be of a compiled model whose optimizer and loss are built; a second time changes nothing.

    Limits: not for XLA, which fuses by itself; of layers and loss nothing where there is a GPU.
    """
    fused_adam.fuse(model.optimizer)
    fused_batch_normalization.fuse(model)
    fused_crossentropy.fuse(model)
    fused_recurrence.fuse(model)
