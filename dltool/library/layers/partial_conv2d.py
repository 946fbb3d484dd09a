"""A convolution whose filters see some of the input's channels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from dltool.graph.multiply_adds import of_convolution


@keras.saving.register_keras_serializable("dltool")
class PartialConv2D(keras.layers.Layer):
    """A convolution with a connection table: y_f = activation(sum over c in connections[f] of x_c * w_cf + b_f).

    Only connected pairs of channel and filter have weights: rows * columns * (pairs) + filters parameters.

    Args:
        connections: for each filter the input channels that it sees, ints from 0. "lenet5" is the table of
            LeNet-5's C3: 16 filters over 6 channels, 60 pairs.
        kernel_size: rows and columns of a kernel, an int or two.
        strides: an int or two. Defaults to 1.
        padding: "valid" or "same".
        activation: Keras's name of a function, or None.
        use_bias: whether each filter has a bias.
        kernel_initializer: of the kernels as if every pair were connected; those of unconnected pairs are left out.
    Input shape: (batch, rows, columns, channels).   Output shape: (batch, rows', columns', len(connections)).
    Raises:
        ValueError: if `connections` is no valid table; on building, if the input has too few channels.
    Limits: computed as an ordinary convolution with zeros for unconnected pairs, so no faster than one.
    Reference: LeCun et al., 1998, Gradient-based learning applied to document recognition, table I.
    """

    LENET5 = (
        *((c, (c + 1) % 6, (c + 2) % 6) for c in range(6)),  # every three neighbours
        *((c, (c + 1) % 6, (c + 2) % 6, (c + 3) % 6) for c in range(6)),  # every four neighbours
        *((0, 1, 3, 4), (1, 2, 4, 5), (0, 2, 3, 5)),  # some fours that are not
        tuple(range(6)),
    )

    multiply_adds = of_convolution  # kernel: (rows, columns, connected pairs)

    def __init__(
        self,
        connections: str | Sequence[Sequence[int]],
        kernel_size: int | Sequence[int],
        strides: int | Sequence[int] = 1,
        padding: str = "valid",
        activation: Any = None,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.connections = _table(self.LENET5 if connections == "lenet5" else connections)
        self.filters = len(self.connections)
        self.kernel_size, self.strides = _pair("kernel_size", kernel_size), _pair("strides", strides)
        if padding not in ("valid", "same"):
            raise ValueError(f"The 'padding' parameter of PartialConv2D must be valid or same. Got {padding!r}.")
        self.padding, self.use_bias, self.dilation_rate = padding, use_bias, (1, 1)
        self.activation = keras.activations.get(activation)
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.input_spec = keras.layers.InputSpec(ndim=4)

    def build(self, input_shape: Any) -> None:
        channels = input_shape[-1]
        needed = 1 + max(max(row) for row in self.connections)
        if channels < needed:
            raise ValueError(f"PartialConv2D's connections need {needed} channels, the input has {channels}.")
        pairs = [channel * self.filters + f for f, row in enumerate(self.connections) for channel in row]
        self._placement = np.zeros((len(pairs), channels * self.filters), np.float32)  # pair -> place in a full kernel
        self._placement[np.arange(len(pairs)), pairs] = 1
        self._full_shape = (*self.kernel_size, channels, self.filters)

        def connected(shape: Any, dtype: Any = None) -> Any:
            full = self.kernel_initializer(self._full_shape, dtype=dtype)
            return ops.take(ops.reshape(full, (*self.kernel_size, -1)), pairs, axis=-1)

        shape = (*self.kernel_size, len(pairs))
        self.kernel = self.add_weight(shape=shape, initializer=connected, name="kernel")  # (rows, columns, pairs)
        if self.use_bias:
            self.bias = self.add_weight(shape=(self.filters,), initializer="zeros", name="bias")

    def full_kernel(self) -> Any:
        """Return the kernels with zeros for unconnected pairs: (rows, columns, channels, filters)."""
        placed = ops.matmul(self.kernel, ops.cast(self._placement, self.kernel.dtype))
        return ops.reshape(placed, self._full_shape)

    def call(self, inputs: Any) -> Any:
        kernel = ops.cast(self.full_kernel(), inputs.dtype)
        outputs = ops.conv(inputs, kernel, self.strides, self.padding, data_format="channels_last")
        return self.activation(outputs + self.bias if self.use_bias else outputs)

    def compute_output_shape(self, input_shape: Any) -> Any:
        sizes = []
        for size, window, stride in zip(input_shape[1:3], self.kernel_size, self.strides, strict=True):
            covered = size if size is None or self.padding == "same" else size - window + 1
            sizes.append(None if covered is None else -(-covered // stride))
        return (input_shape[0], *sizes, self.filters)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "connections": [list(row) for row in self.connections],
            "kernel_size": self.kernel_size,
            "strides": self.strides,
            "padding": self.padding,
            "activation": keras.activations.serialize(self.activation),
            "use_bias": self.use_bias,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
        }


def _table(connections: Any) -> tuple[tuple[int, ...], ...]:
    """Return the table, checked, each row sorted."""
    good = isinstance(connections, list | tuple) and len(connections) > 0
    good = good and all(isinstance(row, list | tuple) and row and len(set(row)) == len(row) for row in connections)
    if not good or any(isinstance(c, bool) or not isinstance(c, int) or c < 0 for row in connections for c in row):
        raise ValueError(
            "The 'connections' parameter of PartialConv2D must be lenet5, or for each filter a list of different "
            f"channels, ints >= 0. Got {connections!r}."
        )
    return tuple(tuple(sorted(row)) for row in connections)


def _pair(name: str, value: Any) -> tuple[int, int]:
    pair = tuple(value) if isinstance(value, list | tuple) else (value, value)
    if len(pair) != 2 or any(isinstance(n, bool) or not isinstance(n, int) or n < 1 for n in pair):
        raise ValueError(f"The '{name}' parameter of PartialConv2D must be one or two ints >= 1. Got {value!r}.")
    return pair
