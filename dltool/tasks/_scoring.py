"""How probable a language model finds a text, its state carried through the whole of it."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import tensorflow as tf

from dltool.decoding.carrying import carrying, check
from dltool.graph import recurrent_state
from dltool.training.fusion import fused_recurrence

WINDOW = 256  # tokens a call; the result depends on it by rounding alone: between calls a state is of the model's type


def nats(model: Any, tokens: np.ndarray) -> np.ndarray:
    """-ln p of each token given all before it, float32 (tokens - 1,); the first is only a condition.

    Args:
        model: of tokens (batch, time) to logits (batch, time, tokens).
        tokens: int (tokens,), at least two.
    Raises:
        ValueError: the model can't read a text in parts.
    """
    reader = _twin(model)
    recurrent_state.reset(reader)

    @tf.function(reduce_retracing=True)
    def score(x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
        logits = tf.cast(reader(x[tf.newaxis], training=False)[0], tf.float32)
        return tf.nn.sparse_softmax_cross_entropy_with_logits(y, logits)

    tokens = np.asarray(tokens, np.int32)
    found = []
    for start in range(0, len(tokens) - 1, WINDOW):
        window = tf.constant(tokens[start : start + WINDOW + 1])
        found.append(score(window[:-1], window[1:]).numpy())
    return np.concatenate(found)


def next_token(model: Any, tokens: np.ndarray) -> np.ndarray:
    """Return the probability of each token to come after some, float32 (vocabulary,).

    Args:
        model: as in `nats`.
        tokens: int (tokens,), at least one.
    Raises:
        ValueError: the model can't read a text in parts.
    """
    reader, last = _reader(model)
    recurrent_state.reset(reader)
    tokens = np.asarray(tokens, np.int32)
    for start in range(0, len(tokens), WINDOW):
        probabilities = last(tf.constant(tokens[start : start + WINDOW]))
    return np.asarray(probabilities)


@functools.lru_cache(maxsize=8)
def _reader(model: Any) -> tuple[Any, Any]:
    """Return a model's twin that carries its state, and its probabilities after the last of some tokens."""
    reader = _twin(model)

    @tf.function(reduce_retracing=True)
    def last(x: tf.Tensor) -> tf.Tensor:
        return tf.nn.softmax(tf.cast(reader(x[tf.newaxis], training=False)[0, -1], tf.float32))

    return reader, last


def _twin(model: Any) -> Any:
    """Return a model's twin that carries its state through one text.

    Raises:
        ValueError: the model can't read a text in parts.
    """
    reader = carrying(model, rows=1)
    check(model, reader, rows=1)
    fused_recurrence.fuse(reader)
    return reader
