"""The base of layers that whiten: principal axes of the training data, and the linear maps made of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from dltool.data import arguments
from dltool.library.layers._adapted import Moments, batches_of


class Whitening(keras.layers.Layer):
    """A linear map y = (x - mean) W of flattened examples, W from the covariance of the training data.

    A subclass gives `_matrices`: W and the matrix by which `invert` goes back, from the principal axes (columns) and
    the variances along them, largest first. Directions without variance, to float64's rounding, are left out: nothing
    in the training data says how to scale them.
    """

    def __init__(self, epsilon: float, **kwargs: Any) -> None:
        super().__init__(autocast=False, **kwargs)  # whitened in the variables' precision
        self.epsilon = arguments.real(type(self).__name__, "epsilon", epsilon, 0.0)

    def build(self, input_shape: Any) -> None:
        if any(size is None for size in input_shape[1:]):
            raise ValueError(f"{type(self).__name__} needs examples of a fixed shape. Got {tuple(input_shape)}.")
        size = math.prod(input_shape[1:])
        units = self._units(size)
        self.example_shape = tuple(input_shape[1:])
        self.mean = self._state("mean", (size,), "zeros")
        self.kernel = self._state("kernel", (size, units), "identity")
        self.inverse_kernel = self._state("inverse_kernel", (units, size), "identity")

    def adapt(self, data: Any) -> None:
        """Take mean and covariance of the examples.

        Args:
            data: an array (examples, ...), or batches of arrays: a tf.data.Dataset or another iterable.
        Raises:
            ValueError: there are no two examples.
        """
        moments: Moments | None = None
        for batch in batches_of(data, type(self).__name__):
            if not self.built:
                self.build((None, *batch.shape[1:]))
            moments = moments or Moments(math.prod(batch.shape[1:]))
            moments.add(batch.reshape(len(batch), -1))
        if moments is None or moments.count < 2:
            raise ValueError(f"{type(self).__name__} was adapted to one example, which has no covariance.")
        variances, axes = np.linalg.eigh(moments.covariance)
        variances, axes = variances[::-1], axes[:, ::-1]
        is_seen = variances > variances[0] * len(variances) * np.finfo(np.float64).eps
        self.mean.assign(moments.mean)
        kernel, inverse = self._matrices(axes, np.where(is_seen, variances, np.inf))
        self.kernel.assign(kernel)
        self.inverse_kernel.assign(inverse)

    def call(self, inputs: Any) -> Any:
        rows = ops.reshape(ops.cast(inputs, self.variable_dtype), (-1, self.mean.shape[0]))
        whitened = ops.matmul(rows - self.mean, self.kernel)
        return ops.cast(ops.reshape(whitened, (-1, *self._output_of(self.example_shape))), self.compute_dtype)

    def invert(self, outputs: Any) -> Any:
        """Return the examples that were whitened to `outputs`, (batch, ...), in the variables' type.

        What whitening leaves out, directions without variance or with few `components`, comes back as the mean.
        """
        rows = ops.reshape(ops.cast(outputs, self.variable_dtype), (-1, self.kernel.shape[1]))
        return ops.reshape(ops.matmul(rows, self.inverse_kernel) + self.mean, (-1, *self.example_shape))

    def compute_output_shape(self, input_shape: Any) -> Any:
        return (input_shape[0], *self._output_of(tuple(input_shape[1:])))

    def multiply_adds(self, inputs: Sequence[Any], output: Any) -> int:
        return math.prod(self.kernel.shape)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "epsilon": self.epsilon}

    def _units(self, size: int) -> int:
        """Return how many numbers an example of `size` numbers becomes."""
        return size

    def _output_of(self, example_shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return the shape of a whitened example."""
        return example_shape

    def _matrices(self, axes: np.ndarray, variances: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        raise NotImplementedError

    def _scales(self, variances: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return 1 / sqrt(variance + epsilon) along each axis and its inverse, 0 where there is no variance."""
        scales = 1 / np.sqrt(variances + self.epsilon)
        return scales, np.divide(1.0, scales, out=np.zeros_like(scales), where=scales > 0)

    def _state(self, name: str, shape: tuple[int, ...], initializer: str) -> Any:
        return self.add_weight(name=name, shape=shape, initializer=initializer, trainable=False, autocast=False)
