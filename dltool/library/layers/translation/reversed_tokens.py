"""A sentence read backwards."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable("dltool")
class ReversedTokens(keras.layers.Layer):
    """Each row's tokens in reverse order, its padding (0) still at the end: (batch, time) -> (batch, time).

    Reference: Sutskever et al., 2014, arXiv:1409.3215, section 3.3; lecture slide 139.
    """

    def call(self, tokens: Any) -> Any:
        lengths = tf.math.count_nonzero(tokens, axis=1, dtype=tf.int32)
        return tf.reverse_sequence(tokens, lengths, seq_axis=1, batch_axis=0)

    def compute_output_spec(self, tokens: Any) -> Any:
        return keras.KerasTensor(tokens.shape, tokens.dtype)
