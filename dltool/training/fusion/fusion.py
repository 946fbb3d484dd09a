"""The kernels that replace Keras's in training and evaluation, or XLA: fewer and larger ones with the same results."""

from __future__ import annotations

from typing import Any

from dltool.graph import keras_internals
from dltool.ops.devices import has_gpu
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


def xla_pays(*models: Any) -> bool:
    """Return whether to compile a training step with XLA: on a GPU, if all layers allow it.

    On a CPU it is left to the recipe (`jit_compile: true`): mlp/mnist was several times slower with it on a busy
    machine, and it gains too little elsewhere to be a default. Nor is it used under op determinism, which
    XLA does not promise for every operation.
    """
    from tensorflow.python.framework.config import is_op_determinism_enabled

    if is_op_determinism_enabled() or not has_gpu():
        return False
    layers = [layer for model in models for layer in keras_internals.inner_layers(model)]
    return all(getattr(layer, "supports_jit", True) for layer in layers)
