"""Drawing a token from the logits of a model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

Draw = Callable[[Any, Any], Any]  # draw(logits (rows, tokens), seed (2,)) -> tokens int32 (rows,)


def sampler(temperature: float = 1.0, top_k: int | None = None, top_p: float | None = None) -> Draw:
    """Return a function that draws one token per row.

    It draws from softmax(logits / temperature), or its likeliest part.

    In this order: the temperature, then of the likeliest `top_k` tokens, then of the fewest likeliest tokens whose
    probabilities together reach `top_p`. Of equally likely tokens the one of the lower number comes first.

    Args:
        temperature: number >= 0; 0 takes the likeliest token.
        top_k: int >= 1, None for all.
        top_p: in (0, 1], None for 1.
    Raises:
        ValueError: a value is out of its range.
    Reference: Fan et al., 2018, arXiv:1805.04833 (top k); Holtzman et al., 2020, arXiv:1904.09751 (top p).
    """
    if not temperature >= 0:
        raise ValueError(f"temperature must be >= 0. Got {temperature}.")
    if top_k is not None and top_k < 1:
        raise ValueError(f"top_k must be >= 1. Got {top_k}.")
    if top_p is not None and not 0 < top_p <= 1:
        raise ValueError(f"top_p must lie in (0, 1]. Got {top_p}.")
    if temperature == 0:
        return lambda logits, seed: tf.argmax(logits, axis=-1, output_type=tf.int32)

    def draw(logits: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        logits = tf.cast(logits, tf.float32) / temperature
        if top_k is None and top_p is None:
            return _categorical(logits, seed)
        count = tf.shape(logits)[-1] if top_k is None else tf.minimum(top_k, tf.shape(logits)[-1])
        kept, tokens = tf.math.top_k(logits, count)  # (rows, count), the likeliest first
        if top_p is not None:
            probabilities = tf.nn.softmax(kept)
            before = tf.cumsum(probabilities, axis=-1, exclusive=True)
            kept = tf.where(before < top_p, kept, -float("inf"))
        place = _categorical(kept, seed)
        return tf.gather(tokens, place, batch_dims=1)

    return draw


def _categorical(logits: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    return tf.random.stateless_categorical(logits, 1, seed, dtype=tf.int32)[:, 0]
