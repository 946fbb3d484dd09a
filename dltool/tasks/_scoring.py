"""How probable a language model finds a text, its state carried through the whole of it."""

from __future__ import annotations

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

    @tf.function(reduce_retracing=True, autograph=False)
    def score(x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
        logits = tf.cast(reader(x[tf.newaxis], training=False)[0], tf.float32)
        return tf.nn.sparse_softmax_cross_entropy_with_logits(y, logits)

    tokens = np.asarray(tokens, np.int32)
    found = []
    for start in range(0, len(tokens) - 1, WINDOW):
        window = tf.constant(tokens[start : start + WINDOW + 1])
        found.append(score(window[:-1], window[1:]).numpy())
    return np.concatenate(found)


class LineScorer:
    """Reads short texts one by one: how probable each token is, and which could come next.

    Args:
        model: as in `nats`.
    Raises:
        ValueError: the model can't read a text in parts.
    """

    def __init__(self, model: Any) -> None:
        reader = _twin(model)
        self._reader = reader

        @tf.function(reduce_retracing=True, autograph=False)
        def read(x: tf.Tensor, y: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            logits = tf.cast(reader(x[tf.newaxis], training=False)[0], tf.float32)
            nats = tf.nn.sparse_softmax_cross_entropy_with_logits(y, logits[: tf.shape(y)[0]])
            return tf.exp(-nats), tf.nn.softmax(logits[-1])

        self._read = read

    def __call__(self, tokens: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the probability of each token but the first given those before it, and of each one to come next.

        Args:
            tokens: int (tokens,), at least one.
        Returns:
            float32 (tokens - 1,) and (outputs,).
        """
        recurrent_state.reset(self._reader)
        tokens = np.asarray(tokens, np.int32)
        found = []
        for start in range(0, len(tokens), WINDOW):
            window = tf.constant(tokens[start : start + WINDOW])
            given, following = self._read(window, tf.constant(tokens[start + 1 : start + 1 + WINDOW]))
            found.append(given.numpy())
        return np.concatenate(found), following.numpy()


def _twin(model: Any) -> Any:
    """Return a model's twin that carries its state through one text.

    Raises:
        ValueError: the model can't read a text in parts.
    """
    reader = carrying(model, rows=1)
    check(model, reader, rows=1)
    fused_recurrence.fuse(reader)
    return reader
