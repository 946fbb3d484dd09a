"""The decision whether XLA pays for a model on this machine."""

from __future__ import annotations

from typing import Any

from dltool.graph import keras_internals
from dltool.ops.devices import has_gpu


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
