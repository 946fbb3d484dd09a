"""Examples that need not fit in memory: read, decoded and batched while training runs."""

from __future__ import annotations

import copy
import functools
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from dltool.data.base import StreamedDataset
from dltool.data.pipelines.base import Epoch, Pipeline, Step, run_while_finite
from dltool.data.pipelines.in_memory import untuned

PREFETCHED_BATCHES = 2


class Streamed(Pipeline):
    """Batches of a `StreamedDataset`, in constant memory.

    Args:
        dataset: the dataset.
        part: its stored part.
        indices: which of the part's examples these are, int64 (size,); None for all.
        batch_size: examples a batch.
    """

    def __init__(self, dataset: StreamedDataset, part: str, indices: np.ndarray | None, batch_size: int) -> None:
        self.dataset, self.part, self.batch_size = dataset, part, batch_size
        self.indices = np.arange(dataset.sizes()[part]) if indices is None else np.asarray(indices, np.int64)
        self.size = len(self.indices)

    def in_batches_of(self, size: int) -> Streamed:
        other = copy.copy(self)
        other.batch_size = size
        return other

    def epoch(self, step: Step, order: np.ndarray, start: int = 0) -> Epoch:
        return _IteratedEpoch(_loop(step), iter(self._batched(order[start * self.batch_size :])))

    def batches(self, count: int | None = None, order: np.ndarray | None = None) -> Iterator[tuple[Any, Any]]:
        order = self.order() if order is None else order
        yield from self._batched(order if count is None else order[: count * self.batch_size])

    def inputs(self) -> tf.data.Dataset:
        return self._batched(self.order()).map(lambda x, y: x).with_options(untuned())

    def _batched(self, order: np.ndarray) -> tf.data.Dataset:
        examples = self.dataset.stream(self.part, self.indices[order])
        return examples.batch(self.batch_size).prefetch(PREFETCHED_BATCHES).with_options(untuned())


class _IteratedEpoch(Epoch):
    def __init__(self, loop: Any, iterator: Any) -> None:
        self.loop, self.iterator = loop, iterator

    def advance(self, start: int, stop: int) -> tuple[int, float]:
        position, value = self.loop(self.iterator, tf.constant(start), tf.constant(stop))
        return int(position), float(value)


@functools.lru_cache(maxsize=16)
def _loop(step: Step) -> Any:
    @tf.function(reduce_retracing=True)
    def loop(iterator: Any, start: tf.Tensor, stop: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return run_while_finite(lambda i: step(*next(iterator)), start, stop)

    return loop
