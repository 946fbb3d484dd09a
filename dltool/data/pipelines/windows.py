"""Windows of a text's tokens, cut from one tensor inside the compiled loop; each target is the next token."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from dltool.data.pipelines.base import Epoch, Pipeline, Step, compile_loop, run_while_finite
from dltool.data.pipelines.in_memory import untuned


def on_device(tokens: np.ndarray) -> tf.Tensor:
    """Return tokens as a tensor that pipelines share, int32 (tokens,)."""
    return tf.constant(tokens, tf.int32)


class Windows(Pipeline):
    """Batches of windows x int32 (batch, length), and y the same one token later; each window begins without memory.

    To train, all windows are of `length` tokens, their order is random, and so is where the first begins, so that
    the cuts lie elsewhere each epoch. To evaluate, they follow each other, and one shorter window holds the rest of
    the text; figures weigh its tokens (`procedures.counting`).

    Args:
        tokens: int32 (tokens,).
        length: tokens a window, int > 0.
        batch_size: windows a batch.
        training: whether the batches are to train on.
    Raises:
        ValueError: there are too few tokens for a window.
    """

    rows: int | None = None

    def __init__(self, tokens: tf.Tensor, length: int, batch_size: int, training: bool = False) -> None:
        self.tokens, self.length, self.batch_size, self.training = tokens, length, batch_size, training
        self.count = int(tokens.shape[0])
        self._measure()

    def _measure(self) -> None:
        windows, rest = divmod(self.count - 1, self.length)
        if windows < 1:
            raise ValueError(f"{self.count} tokens, fewer than a window of {self.length} and the next.")
        self.tail = 0 if self.training else rest
        self.size = windows + (self.tail > 0)
        self.full = -(-windows // self.batch_size)  # batches of windows of the full length

    @property
    def steps(self) -> int:
        return self.full + (self.tail > 0)

    def order(self, seed: int | None = None, epoch: int = 0) -> np.ndarray:
        """Return where the windows of an epoch begin, int64 (size,), determined by (seed, epoch).

        Without a seed they are in order.
        """
        starts = np.arange(self.size, dtype=np.int64) * self.length
        if seed is None or not self.training:
            return starts
        random = np.random.default_rng([seed, epoch])
        starts += random.integers(self.length)
        if starts[-1] + self.length >= self.count:
            starts[-1] = 0  # the last window has moved beyond the end: what lies before the first takes its place
        return random.permutation(starts)

    def epoch(self, step: Step, order: np.ndarray, start: int = 0) -> Epoch:
        return _WindowEpoch(self, step, order)

    def batches(self, count: int | None = None, order: np.ndarray | None = None) -> Iterator[tuple[Any, Any]]:
        order = self.order() if order is None else order
        steps = -(-len(order) // self.batch_size) if self.training else self.steps
        for index in range(steps if count is None else min(count, steps)):
            first = index * self.batch_size
            if index < self.full:
                last = first + self.batch_size if self.training else min(first + self.batch_size, self._whole)
                yield _cut(self.tokens, tf.constant(order[first:last]), self.length, self.rows)
            else:
                yield _cut(self.tokens, tf.constant(order[self._whole :]), self.tail, self.rows)

    def inputs(self) -> tf.data.Dataset:
        starts = tf.data.Dataset.from_tensor_slices(self.order()[: self._whole])
        batches = starts.batch(self.batch_size, drop_remainder=self.rows is not None)
        return batches.map(lambda some: _cut(self.tokens, some, self.length, self.rows)[0]).with_options(untuned())

    @property
    def _whole(self) -> int:
        """Windows of the full length."""
        return self.size - (self.rows or 1) * (self.tail > 0)


class Rows(Windows):
    """Windows that continue those of the batch before: the text as `batch_size` parallel rows.

    Row b of a batch continues row b of the last one, so that a recurrent layer with `stateful: true` carries its state
    through the text (truncated backpropagation through time). The rows follow each other in the text. To train, they
    begin at a random token that leaves room for all, which depends on (seed, epoch); to evaluate, at the first one,
    and a last batch of shorter windows leaves fewer than `batch_size` tokens out.

    Raises:
        ValueError: there are too few tokens for so many rows.
    Reference: Williams & Peng, 1990, Neural Computation 2, 490-501; lecture slide 134.
    """

    def _measure(self) -> None:
        self.rows = self.batch_size
        each = (self.count - 1) // self.batch_size  # tokens of a row
        self.full, rest = divmod(each, self.length)
        if each < 1 or (self.training and self.full < 1):
            least = f"windows of {self.length}" if self.training else "tokens"
            raise ValueError(f"{self.count} tokens, too few for {self.batch_size} rows of {least}. Lower batch_size.")
        self.tail = 0 if self.training else rest
        self.size = self.batch_size * (self.full + (self.tail > 0))

    def order(self, seed: int | None = None, epoch: int = 0) -> np.ndarray:
        """Return where the windows begin, int64 (size,), batch after batch, determined by (seed, epoch)."""
        each = self.full * self.length + self.tail
        first = 0
        if seed is not None and self.training:
            first = int(np.random.default_rng([seed, epoch]).integers(self.count - self.batch_size * each))
        rows = np.arange(self.batch_size, dtype=np.int64) * each  # (rows,)
        windows = np.arange(self.steps, dtype=np.int64)[:, np.newaxis] * self.length  # (steps, 1)
        return (first + windows + rows).reshape(-1)


class _WindowEpoch(Epoch):
    def __init__(self, windows: Windows, step: Step, order: np.ndarray) -> None:
        self.windows, self.step, whole = windows, step, windows._whole
        self.starts, self.last = tf.constant(order[:whole]), tf.constant(order[whole:])

    def advance(self, start: int, stop: int) -> tuple[int, float]:
        windows, position, value = self.windows, start, 0.0
        full = min(stop, windows.full)
        if start < full:
            loop = _loop(self.step, windows.length, windows.rows)
            numbers = (tf.constant(number) for number in (windows.batch_size, start, full))
            reached, found = loop(windows.tokens, self.starts, *numbers)
            position, value = int(reached), float(found)
            if position < full:
                return position, value
        if stop > windows.full:
            only = (tf.constant(number) for number in (windows.batch_size, 0, 1))
            _, found = _loop(self.step, windows.tail, windows.rows)(windows.tokens, self.last, *only)
            position, value = position + 1, float(found)
        return position, value


def _cut(tokens: tf.Tensor, starts: tf.Tensor, length: int, rows: int | None) -> tuple[tf.Tensor, tf.Tensor]:
    """Windows (batch, length) at `starts` and the tokens that follow each of theirs; `rows`: how many, if known."""
    places = starts[:, tf.newaxis] + tf.range(length + 1, dtype=starts.dtype)
    windows = tf.ensure_shape(tf.gather(tokens, places), [rows, length + 1])
    return windows[:, :-1], windows[:, 1:]


@functools.lru_cache(maxsize=16)
def _loop(step: Step, length: int, rows: int | None) -> Any:
    """Return the compiled loop of a step over windows of one length."""

    @compile_loop
    def loop(tokens: tf.Tensor, starts: tf.Tensor, size: tf.Tensor, start: tf.Tensor, stop: tf.Tensor) -> Any:
        def body(i: tf.Tensor) -> tf.Tensor:
            return step(*_cut(tokens, starts[i * size : (i + 1) * size], length, rows))

        return run_while_finite(body, start, stop)

    return loop
