"""Whether XLA pays for a model here."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

# XLA on CPU makes large dense nets up to 1.3 times faster and convolutions and recurrent loops slower;
# its compilation costs seconds, so an epoch has to be worth that.
FLOATING_POINT_OPERATIONS_WORTH_COMPILING = 5e10
DENSE_LAYERS = (
    keras.layers.Dense,
    keras.layers.Flatten,
    keras.layers.Reshape,
    keras.layers.Activation,
    keras.layers.ReLU,
    keras.layers.LeakyReLU,
    keras.layers.PReLU,
    keras.layers.ELU,
    keras.layers.Softmax,
    keras.layers.Dropout,
    keras.layers.BatchNormalization,
    keras.layers.LayerNormalization,
    keras.layers.Normalization,
    keras.layers.Rescaling,
    keras.layers.InputLayer,
)


def xla_pays(model: Any, examples: int) -> bool:
    """Whether to compile the training step of a model with XLA.

    On a GPU wherever the layers allow it, as Keras does; on a CPU for nets of dense layers alone whose
    epoch of `examples` is long enough to earn the compilation back. Never under op determinism, which
    XLA does not promise for every operation.
    """
    from tensorflow.python.framework.config import is_op_determinism_enabled

    layers = model._flatten_layers(include_self=False)
    if is_op_determinism_enabled() or not all(getattr(layer, "supports_jit", True) for layer in layers):
        return False
    if tf.config.get_visible_devices("GPU"):
        return True
    dense = all(isinstance(layer, DENSE_LAYERS) for layer in model._flatten_layers(include_self=False))
    work = 6 * model.count_params() * examples  # 2 forward, 4 backward for each weight and example
    return dense and work >= FLOATING_POINT_OPERATIONS_WORTH_COMPILING
