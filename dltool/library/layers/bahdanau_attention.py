"""Additive attention with the decoder's state before the step."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from dltool.library.layers.translation.sequence_attention import Attention, additive_score, projected


@keras.saving.register_keras_serializable("dltool")
class BahdanauAttention(Attention):
    """Attention of Bahdanau et al.: e_ij = v . tanh(W s_i-1 + U h_j), weights_i = softmax over j of e_ij.

    The context, sum over j of weights_ij h_j, is an input of the decoder's i-th step.

    Args:
        units: width of v. Defaults to the decoder's.
    Raises:
        ValueError: if `units` is not positive.
    Limits: the decoder has to go step by step, in training too.
    Reference: Bahdanau et al., 2015, arXiv:1409.0473, section 3.1 and appendix A.1.2; lecture slide 140.
    """

    before = True

    def __init__(self, units: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if units is not None and units < 1:
            raise ValueError(f"The 'units' parameter of BahdanauAttention must be an int > 0. Got {units!r} instead.")
        self.units = units

    def build_for(self, query: int, memory: int) -> None:
        units = self.units or query
        self._query = self.add_weight(name="query_kernel", shape=(query, units), initializer="glorot_uniform")
        self._key = self.add_weight(name="key_kernel", shape=(memory, units), initializer="glorot_uniform")
        self._bias = self.add_weight(name="bias", shape=(units,), initializer="zeros")
        self._vector = self.add_weight(name="score_vector", shape=(units,), initializer="random_normal")
        self.built = True

    @property
    def query_kernel(self) -> Any:
        return self._query

    def score_weights(self) -> tuple[Any, ...]:
        return (self._vector,)

    def keys(self, memory: Any) -> Any:
        kernel, bias = (tf.cast(one, memory.dtype) for one in (self._key, self._bias))
        return projected(memory, kernel) + bias

    def score(self, query: Any, keys: Any, *weights: Any) -> Any:
        return additive_score(query, keys, *weights)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "units": self.units}
