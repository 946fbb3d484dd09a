"""A mask of padding on values of tokens."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf
from keras import ops


@keras.saving.register_keras_serializable("dltool")
class PaddingMask(keras.layers.Layer):
    """A layer that adds Keras's mask of padding tokens, 0: layers, losses and metrics skip them.

    Input: [values (batch, time, ...), tokens int (batch, time)].   Output: the values.
    """

    def call(self, inputs: Any) -> Any:
        return tf.identity(inputs[0])  # a tensor of its own: the mask must not stick to the one that was given

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> Any:
        return ops.not_equal(inputs[1], 0)

    def compute_output_spec(self, inputs: Any) -> Any:
        return keras.KerasTensor(inputs[0].shape, inputs[0].dtype)
