"""Attention with the decoder's state after the step."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from dltool.library.layers.translation.sequence_attention import Attention, additive_score, projected

SCORES = ("dot", "general", "concat")


@keras.saving.register_keras_serializable("dltool")
class LuongAttention(Attention):
    """Global attention of Luong et al.: weights_t = softmax over s of score(h_t, hs_s).

        dot:      h_t . hs_s
        general:  h_t . W hs_s
        concat:   v . tanh(W [h_t; hs_s])

    `scaled` divides a dot product by the square root of the decoder's width. Unscaled products of wide states are so
    large that the softmax soon takes a single position, before training has found out which.

    The query is the decoder's state after its step, so that without input feeding all target positions are attended
    from at once.

    Args:
        score: "dot", "general" or "concat". Defaults to "general".
        scaled: whether scores of "dot" and "general" are divided. Defaults to false, as in the paper.
    Raises:
        ValueError: if `score` is none of these, or "concat" is to be scaled; for "dot" also, once built, if the widths
            of decoder and memory differ.
    Reference: Luong et al., 2015, arXiv:1508.04025, section 3.1, eq. 8; scaled: Vaswani et al., 2017,
        arXiv:1706.03762, section 3.2.1.
    """

    def __init__(self, score: str = "general", scaled: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if score not in SCORES:
            listed = ", ".join(map(repr, SCORES))
            raise ValueError(f"The 'score' parameter of LuongAttention must be one of {listed}. Got {score!r} instead.")
        if scaled and score == "concat":
            raise ValueError("LuongAttention's 'scaled' goes with the scores 'dot' and 'general', not with 'concat'.")
        self.kind, self.scaled = score, bool(scaled)
        self.multiplies = score != "concat"

    def build_for(self, query: int, memory: int) -> None:
        if self.kind == "dot" and query != memory:
            raise ValueError(
                f"LuongAttention's score 'dot' needs a decoder as wide as the encoder's output. Got {query} units and "
                f"{memory}: make them equal, or use 'general'."
            )
        if self.kind != "dot":
            self._key = self.add_weight(name="key_kernel", shape=(memory, query), initializer="glorot_uniform")
        if self.kind == "concat":
            self._query = self.add_weight(name="query_kernel", shape=(query, query), initializer="glorot_uniform")
            self._vector = self.add_weight(name="score_vector", shape=(query,), initializer="random_normal")
        self.built = True

    @property
    def query_kernel(self) -> Any | None:
        return self._query if self.kind == "concat" else None

    def score_weights(self) -> tuple[Any, ...]:
        return (self._vector,) if self.kind == "concat" else ()

    def keys(self, memory: Any) -> Any:
        # h . (W hs): W meets the memory, once, and not every query
        found = memory if self.kind == "dot" else projected(memory, tf.cast(self._key, memory.dtype))
        return found * found.shape[-1] ** -0.5 if self.scaled else found  # the width of queries

    def score(self, query: Any, keys: Any, *weights: Any) -> Any:
        if self.kind == "concat":
            return additive_score(query, keys, *weights)
        return super().score(query, keys)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "score": self.kind, "scaled": self.scaled}
