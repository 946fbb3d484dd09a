"""The base of all pipelines: batches in a given order, and a compiled loop of steps over them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

# step(x, y) -> float32 scalar that is finite while all is well, such as the running mean loss
Step = Callable[[Any, Any], Any]


class Pipeline(ABC):
    """Examples of one split, in batches.

    Args:
        size: examples.
        batch_size: examples a batch; the last batch of an epoch may be smaller.
    """

    size: int
    batch_size: int

    @property
    def steps(self) -> int:
        """Batches that cover every example once."""
        return -(-self.size // self.batch_size)

    def order(self, seed: int | None = None, epoch: int = 0) -> np.ndarray:
        """Return the order of an epoch, int64 (size,), determined by (seed, epoch).

        Without a seed it is the stored order.
        """
        if seed is None:
            return np.arange(self.size, dtype=np.int64)
        return np.random.default_rng([seed, epoch]).permutation(self.size)

    def in_batches_of(self, size: int) -> Pipeline:
        """Return the same examples in batches of another size; the same pipeline if its batches have a meaning."""
        return self

    @abstractmethod
    def epoch(self, step: Step, order: np.ndarray, start: int = 0) -> Epoch:
        """Return an epoch of `step` over the batches in `order`, beginning with batch `start`."""

    @abstractmethod
    def batches(self, count: int | None = None, order: np.ndarray | None = None) -> Iterator[tuple[Any, Any]]:
        """Yield batches (x, y) of tensors of the examples in `order`.

        By default all of them come, in stored order; `count` limits them.
        """

    @abstractmethod
    def inputs(self) -> Any:
        """Return a tf.data.Dataset of batches of x in stored order, for `adapt`."""


class Epoch(ABC):
    """An epoch under way."""

    @abstractmethod
    def advance(self, start: int, stop: int) -> tuple[int, float]:
        """Run batches `start` to `stop`, stopping after one whose step gave no finite value.

        Returns:
            The number of the next batch, and the last step's value.
        """


def run_while_finite(body: Callable[[Any], Any], start: Any, stop: Any) -> tuple[Any, Any]:
    """Run body(i) in a graph from start to stop while its values are finite. Return (next i, last value)."""
    import tensorflow as tf

    return tf.while_loop(
        lambda i, value: tf.logical_and(i < stop, tf.math.is_finite(value)),
        lambda i, value: (i + 1, body(i)),
        [start, tf.constant(0.0)],
        parallel_iterations=1,
    )


def compile_loop(loop: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a loop over tensors; the first dimension of each is left open, so that one trace serves any size."""
    import tensorflow as tf

    compiled = tf.function(loop, reduce_retracing=True)
    traced: list[Any] = []

    def any_size(tensor: Any) -> Any:
        return tf.TensorSpec([None, *tensor.shape[1:]] if tensor.shape.rank else [], tensor.dtype)

    def run(*tensors: Any) -> Any:
        if not traced:
            traced.append(compiled.get_concrete_function(*tf.nest.map_structure(any_size, tensors)))
        return compiled(*tensors)

    return run
