"""Pairs of sentences in batches of like length, padded inside the compiled loop."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from dltool.datasets.token_pairs import Pairs, Ragged
from dltool.pipelines.base import Epoch, Pipeline, Step, run_while_finite
from dltool.pipelines.in_memory import untuned

WINDOW = 50  # batches whose examples are sorted by length together: little padding, and batches differ each epoch
PADDING = 0


class DevicePairs:
    """Pairs as tensors; several pipelines (training and validation split) share them."""

    def __init__(self, pairs: Pairs) -> None:
        self.source_lengths, self.target_lengths = pairs.source.lengths, pairs.target.lengths
        self.tensors = (*_tensors(pairs.source), *_tensors(pairs.target))


class Bucketed(Pipeline):
    """Batches of pairs: x = {"source": (batch, source), "target": (batch, target)}, y (batch, target), int32.

    y holds the tokens that follow those of x["target"]; shorter sentences end in padding, 0. An epoch is shuffled,
    cut into windows of `WINDOW` batches and sorted by length in each; then its batches are shuffled.

    Args:
        pairs: of a stored part.
        indices: which of its examples these are, int64 (size,); None for all.
        batch_size: pairs a batch.
    """

    def __init__(self, pairs: DevicePairs, indices: np.ndarray | None, batch_size: int) -> None:
        self.pairs, self.batch_size = pairs, batch_size
        self.indices = np.arange(len(pairs.source_lengths)) if indices is None else np.asarray(indices, np.int64)
        self.size = len(self.indices)

    def order(self, seed: int | None = None, epoch: int = 0) -> np.ndarray:
        """The order of an epoch, int64 (size,): a function of (seed, epoch) alone; by length if seed is None."""
        targets, sources = self.pairs.target_lengths[self.indices], self.pairs.source_lengths[self.indices]
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
        return _GatheredEpoch(_loop(step), self.pairs, tf.constant(self.indices[order], tf.int64), self.batch_size)

    def batches(self, count: int | None = None, order: np.ndarray | None = None) -> Iterator[tuple[Any, Any]]:
        indices = self.indices if order is None else self.indices[order]
        steps = -(-len(indices) // self.batch_size)
        for index in range(steps if count is None else min(count, steps)):
            chosen = tf.constant(indices[index * self.batch_size : (index + 1) * self.batch_size])
            yield gathered(self.pairs.tensors, chosen)

    def inputs(self) -> tf.data.Dataset:
        batches = tf.data.Dataset.from_tensor_slices(self.indices).batch(self.batch_size)
        tensors = self.pairs.tensors
        return batches.map(lambda chosen: gathered(tensors, chosen)[0]).with_options(untuned())


class _GatheredEpoch(Epoch):
    def __init__(self, loop: Any, pairs: DevicePairs, order: tf.Tensor, batch_size: int) -> None:
        self.loop, self.pairs, self.order, self.size = loop, pairs, order, tf.constant(batch_size)

    def advance(self, start: int, stop: int) -> tuple[int, float]:
        position, value = self.loop(self.pairs.tensors, self.order, self.size, tf.constant(start), tf.constant(stop))
        return int(position), float(value)


@functools.lru_cache(maxsize=16)
def _loop(step: Step) -> Any:
    """The compiled loop of a step; one trace serves every pipeline."""

    @tf.function(reduce_retracing=True)
    def loop(tensors: Any, order: tf.Tensor, size: tf.Tensor, start: tf.Tensor, stop: tf.Tensor) -> Any:
        def body(i: tf.Tensor) -> tf.Tensor:
            return step(*gathered(tensors, order[i * size : (i + 1) * size]))

        return run_while_finite(body, start, stop)

    return loop


def gathered(tensors: tuple[tf.Tensor, ...], chosen: tf.Tensor) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
    """In a graph: the batch of chosen pairs."""
    source_tokens, source_offsets, target_tokens, target_offsets = tensors
    source = _padded(source_tokens, source_offsets, chosen)
    target = _padded(target_tokens, target_offsets, chosen)
    following = target[:, 1:]
    read = tf.where(following != PADDING, target[:, :-1], PADDING)  # nothing follows the last token
    return {"source": source, "target": read}, following


def _padded(tokens: tf.Tensor, offsets: tf.Tensor, chosen: tf.Tensor) -> tf.Tensor:
    """Sequences of a ragged array, padded to the longest of them: (chosen, longest)."""
    starts = tf.gather(offsets, chosen)
    lengths = tf.gather(offsets, chosen + 1) - starts
    places = tf.range(tf.reduce_max(lengths))  # (longest,)
    held = places < lengths[:, tf.newaxis]
    return tf.where(held, tf.gather(tokens, tf.where(held, starts[:, tf.newaxis] + places, 0)), PADDING)


def _tensors(ragged: Ragged) -> tuple[tf.Tensor, tf.Tensor]:
    return tf.constant(ragged.tokens, tf.int32), tf.constant(ragged.offsets, tf.int64)
