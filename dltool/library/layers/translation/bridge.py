"""From an encoder's outputs to a decoder's first state."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable("dltool")
class Bridge(keras.layers.Layer):
    """State k = tanh(W_k [h_last; h_first] + b_k), of the encoder's outputs at the ends of the sentence.

    At its last token a layer that reads forwards has read all of it, at the first one a layer that reads backwards.

    Args:
        units: width of each state, int > 0.
        states: how many: a GRU has one, an LSTM two.
        both_ends: whether to use h_first too: of a bidirectional encoder. Defaults to true.
    Input: [outputs (batch, source, features), tokens int (batch, source)], padding 0 at the end.
    Output: a list of `states` tensors (batch, units).
    Reference: Bahdanau et al., 2015, arXiv:1409.0473, appendix A.2.2, which uses the first end alone.
    """

    def __init__(self, units: int, states: int = 1, both_ends: bool = True, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if units < 1 or states < 1:
            raise ValueError(f"The 'units' and 'states' of Bridge must be ints > 0. Got {units!r} and {states!r}.")
        self.units, self.states, self.both_ends = units, states, both_ends
        self.denses = [keras.layers.Dense(units, activation="tanh", dtype=self.dtype_policy) for _ in range(states)]

    def build(self, input_shape: Any) -> None:
        features = input_shape[0][-1] * (2 if self.both_ends else 1)
        for dense in self.denses:
            dense.build((None, features))

    def call(self, inputs: Any) -> Any:
        outputs, tokens = inputs
        lengths = tf.math.count_nonzero(tokens, axis=1, dtype=tf.int32)
        ends = tf.gather(outputs, tf.maximum(lengths - 1, 0), axis=1, batch_dims=1)
        if self.both_ends:
            ends = tf.concat([ends, outputs[:, 0]], axis=-1)
        return [dense(ends) for dense in self.denses]

    def compute_output_spec(self, inputs: Any) -> Any:
        shape = (inputs[0].shape[0], self.units)
        return [keras.KerasTensor(shape, self.compute_dtype) for _ in self.denses]

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> Any:
        return None

    def get_config(self) -> dict[str, Any]:
        own = {"units": self.units, "states": self.states, "both_ends": self.both_ends}
        return {**super().get_config(), **own}
