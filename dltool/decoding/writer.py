"""Text that a language model goes on with, several at a time, in one compiled loop."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from dltool.decoding.carrying import carrying, check
from dltool.decoding.sampling import Draw
from dltool.graph import recurrent_state


class Writer:
    """Draws token after token, each given all before it.

    Args:
        model: of tokens (batch, time) to logits (batch, time, tokens).
        rows: texts at a time, each with draws of its own.
        draw: as `sampling.sampler` gives it.
        seed: equal seeds give equal texts, however many tokens are drawn at a time.
        never: tokens that are not drawn.
    Raises:
        ValueError: the model can't be run token by token.
    """

    def __init__(self, model: Any, rows: int, draw: Draw, seed: int, never: tuple[int, ...] = ()) -> None:
        self._step = carrying(model, rows, length=1)
        check(model, self._step, rows)
        self._draw, self._rows, self._written = draw, rows, 0
        self._seed = tf.constant(seed, tf.int32)
        self._last = tf.Variable(tf.zeros(rows, tf.int32), trainable=False)  # not read yet
        banned = np.zeros(model.output_shape[-1], np.float32)
        banned[list(never)] = -np.inf
        self._banned = tf.constant(banned)

    def read(self, tokens: np.ndarray) -> None:
        """Begin with a text, int (tokens,), at least one, the same for all rows."""
        recurrent_state.reset(self._step)
        self._read(tf.constant(tokens[:-1], tf.int32))
        self._last.assign(tf.fill([self._rows], tf.constant(tokens[-1], tf.int32)))
        self._written = 0

    def write(self, count: int) -> np.ndarray:
        """The next tokens, int32 (rows, count)."""
        drawn = self._write(tf.constant(self._written), tf.constant(self._written + count))
        self._written += count
        return drawn.numpy().T

    @tf.function(reduce_retracing=True)
    def _read(self, tokens: tf.Tensor) -> None:
        for token in tokens:
            self._step(tf.fill([self._rows, 1], token), training=False)

    @tf.function(reduce_retracing=True, autograph=False)
    def _write(self, start: tf.Tensor, stop: tf.Tensor) -> tf.Tensor:
        def body(i: tf.Tensor, last: tf.Tensor, drawn: tf.TensorArray) -> tuple[tf.Tensor, tf.Tensor, tf.TensorArray]:
            logits = tf.cast(self._step(last[:, tf.newaxis], training=False)[:, 0], tf.float32) + self._banned
            token = tf.ensure_shape(self._draw(logits, tf.stack([self._seed, i])), [self._rows])
            return i + 1, token, drawn.write(i - start, token)

        drawn = tf.TensorArray(tf.int32, stop - start, element_shape=[self._rows])
        _, last, drawn = tf.while_loop(lambda i, *_: i < stop, body, [start, self._last.value(), drawn])
        self._last.assign(last)
        return drawn.stack()  # (count, rows)
