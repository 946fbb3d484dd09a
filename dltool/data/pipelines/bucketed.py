"""Pairs of sentences in batches of like length, padded inside the compiled loop."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from dltool.data.bpe_dropout import DrawnPairs
from dltool.data.pipelines.base import Epoch, Pipeline, Step, compile_loop, run_while_finite
from dltool.data.pipelines.in_memory import untuned
from dltool.data.token_pairs import Pairs, Ragged, batch_edges

WINDOW = 50  # batches whose examples are sorted by length together: little padding, and batches differ each epoch
PADDING = 0
DRAWS = 1  # the stream of random numbers of an epoch's tokens, beside that of its order
JITTER = 4  # of batches by tokens: by so much sources of equal targets may be out of order, for batches to differ


class DevicePairs:
    """Pairs as tensors; several pipelines (training and validation split) share them."""

    def __init__(self, pairs: Pairs) -> None:
        self.source_lengths, self.target_lengths = pairs.source.lengths, pairs.target.lengths
        self.tensors = (*_tensors(pairs.source), *_tensors(pairs.target))


class Bucketed(Pipeline):
    """Batches of pairs: x = {"source": (batch, source), "target": (batch, target)}, y (batch, target), int32.

    y holds the tokens that follow those of x["target"]; shorter sentences end in padding, 0. An epoch is shuffled,
    cut into windows of `WINDOW` batches and sorted by length in each; then its batches are shuffled. Batches by tokens
    are cut from all pairs by the length of their targets; which of equal length come together changes each epoch.

    Args:
        pairs: of a stored part.
        indices: which of its examples these are, int64 (size,); None for all.
        batch_size: pairs a batch.
        batch_tokens: target tokens a batch, padding included, in place of `batch_size`; a longer one is alone.
    """

    def __init__(
        self, pairs: DevicePairs, indices: np.ndarray | None, batch_size: int, batch_tokens: int | None = None
    ) -> None:
        self.pairs, self.batch_size, self.batch_tokens = pairs, batch_size, batch_tokens
        self.indices = np.arange(len(pairs.source_lengths)) if indices is None else np.asarray(indices, np.int64)
        self.size = len(self.indices)
        self._steps = len(self._edges(self.order())) - 1  # of every epoch

    @property
    def steps(self) -> int:
        return self._steps

    def order(self, seed: int | None = None, epoch: int = 0) -> np.ndarray:
        """Return the order of an epoch, int64 (size,), determined by (seed, epoch). Without a seed it is by length."""
        targets, sources = self.pairs.target_lengths[self.indices], self.pairs.source_lengths[self.indices]
        if self.batch_tokens is not None:
            return self._by_tokens(targets, sources, None if seed is None else np.random.default_rng([seed, epoch]))
        if seed is None:
            return np.lexsort((sources, targets))
        rng = np.random.default_rng([seed, epoch])
        order = rng.permutation(self.size)
        whole = self.size - self.size % self.batch_size  # the last batch, which may be smaller, stays last
        for start in range(0, whole, WINDOW * self.batch_size):
            window = order[start : min(start + WINDOW * self.batch_size, whole)]
            window[:] = window[np.lexsort((sources[window], targets[window]))]
        batches = rng.permutation(order[:whole].reshape(-1, self.batch_size), axis=0)
        return np.concatenate([batches.reshape(-1), order[whole:]])

    def epoch(self, step: Step, order: np.ndarray, start: int = 0) -> Epoch:
        return _GatheredEpoch(_loop(step), self.pairs, self.indices[order], self._edges(order))

    def batches(self, count: int | None = None, order: np.ndarray | None = None) -> Iterator[tuple[Any, Any]]:
        order = np.arange(self.size) if order is None else order
        edges = self._edges(order)
        for first, end in zip(edges[:-1][:count], edges[1:][:count], strict=True):
            yield gathered(self.pairs.tensors, tf.constant(self.indices[order[first:end]]))

    def inputs(self) -> tf.data.Dataset:
        batches = tf.data.Dataset.from_tensor_slices(self.indices).batch(self.batch_size)
        tensors = self.pairs.tensors
        return batches.map(lambda chosen: gathered(tensors, chosen)[0]).with_options(untuned())

    def _by_tokens(self, targets: np.ndarray, sources: np.ndarray, rng: np.random.Generator | None) -> np.ndarray:
        """Longest first, cut into batches; these shuffled, but for the last, which may be smaller."""
        if rng is None:
            return np.lexsort((-sources, -targets))
        order = rng.permutation(self.size)
        order = order[np.lexsort((-(sources[order] + rng.integers(JITTER, size=self.size)), -targets[order]))]
        *batches, last = np.split(order, self._edges(order)[1:-1])
        return np.concatenate([*(batches[number] for number in rng.permutation(len(batches))), last])

    def _edges(self, order: np.ndarray) -> np.ndarray:
        """Return where the batches of an order begin, and where the last ends, int64 (batches + 1,)."""
        if self.batch_tokens is None:
            return np.append(np.arange(0, len(order), self.batch_size), len(order))
        return batch_edges(self.pairs.target_lengths[self.indices[order]] - 1, self.batch_tokens)


class Redrawn(Bucketed):
    """A `Bucketed` pipeline of pairs whose tokens are redrawn for each shuffled epoch, determined by (seed, epoch).

    Args:
        drawn: the pairs; in stored order, as for a model's build, they are the plain ones.
    """

    def __init__(self, drawn: DrawnPairs, batch_size: int) -> None:
        self._drawn, self._plain = drawn, DevicePairs(drawn.plain)
        super().__init__(self._plain, None, batch_size)

    def order(self, seed: int | None = None, epoch: int = 0) -> np.ndarray:
        """Draw the pairs of an epoch for `epoch` and `batches`, and return its order."""
        if seed is None:
            self.pairs = self._plain
        else:
            self.pairs = DevicePairs(self._drawn.draw(np.random.default_rng([seed, epoch, DRAWS])))
        return super().order(seed, epoch)


class _GatheredEpoch(Epoch):
    def __init__(self, loop: Any, pairs: DevicePairs, order: np.ndarray, edges: np.ndarray) -> None:
        self.loop, self.pairs = loop, pairs
        self.order, self.edges = tf.constant(order, tf.int64), tf.constant(edges, tf.int64)

    def advance(self, start: int, stop: int) -> tuple[int, float]:
        position, value = self.loop(self.pairs.tensors, self.order, self.edges, tf.constant(start), tf.constant(stop))
        return int(position), float(value)


@functools.lru_cache(maxsize=16)
def _loop(step: Step) -> Any:
    """Return the compiled loop of a step; one trace serves every pipeline."""

    @compile_loop
    def loop(tensors: Any, order: tf.Tensor, edges: tf.Tensor, start: tf.Tensor, stop: tf.Tensor) -> Any:
        def body(i: tf.Tensor) -> tf.Tensor:
            return step(*gathered(tensors, order[edges[i] : edges[i + 1]]))

        return run_while_finite(body, start, stop)

    return loop


def gathered(tensors: tuple[tf.Tensor, ...], chosen: tf.Tensor) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
    """Return the batch of chosen pairs, in a graph."""
    source_tokens, source_offsets, target_tokens, target_offsets = tensors
    source = _padded(source_tokens, source_offsets, chosen)
    target = _padded(target_tokens, target_offsets, chosen)
    following = target[:, 1:]
    read = tf.where(following != PADDING, target[:, :-1], PADDING)  # nothing follows the last token
    return {"source": source, "target": read}, following


def _padded(tokens: tf.Tensor, offsets: tf.Tensor, chosen: tf.Tensor) -> tf.Tensor:
    """Return sequences of a ragged array, padded to the longest of them: (chosen, longest)."""
    starts = tf.gather(offsets, chosen)
    lengths = tf.gather(offsets, chosen + 1) - starts
    places = tf.range(tf.reduce_max(lengths))  # (longest,)
    held = places < lengths[:, tf.newaxis]
    return tf.where(held, tf.gather(tokens, tf.where(held, starts[:, tf.newaxis] + places, 0)), PADDING)


def _tensors(ragged: Ragged) -> tuple[tf.Tensor, tf.Tensor]:
    return tf.constant(ragged.tokens, tf.int32), tf.constant(ragged.offsets, tf.int64)
