"""Whether XLA pays for a model here."""

from __future__ import annotations

from typing import Any

import tensorflow as tf


def xla_pays(model: Any) -> bool:
    """Whether to compile the training step of a model with XLA: on a GPU, where all its layers allow it.

    On a CPU it does not: some dense nets gained up to 1.3 times on an idle machine, but the same nets ran four
    times slower with random numbers in them (dropout) or with another process beside them, convolutions
    and recurrent loops always did. Nor under op determinism, which XLA does not promise for every
    operation. `jit_compile: true` in a recipe has the last word.
    """
    from tensorflow.python.framework.config import is_op_determinism_enabled

    if is_op_determinism_enabled() or not tf.config.get_visible_devices("GPU"):
        return False
    return all(getattr(layer, "supports_jit", True) for layer in model._flatten_layers(include_self=False))
