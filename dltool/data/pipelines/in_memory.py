"""Examples that fit in memory: tensors on the device, batches gathered inside the compiled loop."""

from __future__ import annotations

import copy
import functools
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from dltool.data.base import Examples
from dltool.data.pipelines.base import Epoch, Pipeline, Step, compile_loop, run_while_finite

GPU_SHARE_BYTES = 4 * 2**30  # larger arrays stay in host memory: the GPU's is for the model


class DeviceArrays:
    """One stored part as tensors; several pipelines (training and validation split) share it."""

    def __init__(self, examples: Examples) -> None:
        arrays = tf.nest.flatten((examples.x, examples.y))
        large = sum(array.nbytes for array in arrays) > GPU_SHARE_BYTES
        with tf.device("CPU:0" if large else None):
            self.x = tf.nest.map_structure(tf.convert_to_tensor, examples.x)
            self.y = tf.nest.map_structure(tf.convert_to_tensor, examples.y)
        self.size = len(examples)


class InMemory(Pipeline):
    """Batches gathered from tensors by index.

    Args:
        arrays: the tensors of a stored part.
        indices: which of its examples these are, int64 (size,); None for all.
        batch_size: examples a batch.
    """

    def __init__(self, arrays: DeviceArrays, indices: np.ndarray | None, batch_size: int) -> None:
        self.arrays, self.batch_size = arrays, batch_size
        self.indices = np.arange(arrays.size) if indices is None else np.asarray(indices, np.int64)
        self.size = len(self.indices)

    def in_batches_of(self, size: int) -> InMemory:
        other = copy.copy(self)
        other.batch_size = size
        return other

    def epoch(self, step: Step, order: np.ndarray, start: int = 0) -> Epoch:
        return _GatheredEpoch(_loop(step), self.arrays, tf.constant(self.indices[order], tf.int64), self.batch_size)

    def batches(self, count: int | None = None, order: np.ndarray | None = None) -> Iterator[tuple[Any, Any]]:
        indices = self.indices if order is None else self.indices[order]
        steps = -(-len(indices) // self.batch_size)
        for index in range(steps if count is None else min(count, steps)):
            chosen = tf.constant(indices[index * self.batch_size : (index + 1) * self.batch_size])
            yield _gather(self.arrays.x, self.arrays.y, chosen)

    def inputs(self) -> tf.data.Dataset:
        batches = tf.data.Dataset.from_tensor_slices(self.indices).batch(max(self.batch_size, 1024))
        arrays = self.arrays
        return batches.map(lambda chosen: _gather(arrays.x, arrays.y, chosen)[0]).with_options(untuned())


class _GatheredEpoch(Epoch):
    def __init__(self, loop: Any, arrays: DeviceArrays, order: tf.Tensor, batch_size: int) -> None:
        self.loop, self.arrays, self.order, self.size = loop, arrays, order, tf.constant(batch_size)

    def advance(self, start: int, stop: int) -> tuple[int, float]:
        arrays = self.arrays
        position, value = self.loop(arrays.x, arrays.y, self.order, self.size, tf.constant(start), tf.constant(stop))
        return int(position), float(value)


def _gather(x: Any, y: Any, chosen: tf.Tensor) -> tuple[Any, Any]:
    return tf.nest.map_structure(lambda array: tf.gather(array, chosen), (x, y))


@functools.lru_cache(maxsize=16)
def _loop(step: Step) -> Any:
    """Return the compiled loop of a step; one trace serves every pipeline over arrays of the same shape."""

    @compile_loop
    def loop(x: Any, y: Any, order: tf.Tensor, size: tf.Tensor, start: tf.Tensor, stop: tf.Tensor) -> Any:
        def body(i: tf.Tensor) -> tf.Tensor:
            return step(*_gather(x, y, order[i * size : (i + 1) * size]))

        return run_while_finite(body, start, stop)

    return loop


def untuned() -> tf.data.Options:
    """Return tf.data options without autotuning. Its thread can delay the end of an epoch by many seconds."""
    options = tf.data.Options()
    options.autotune.enabled = False
    options.deterministic = True
    return options
