"""Values put back to where pooling found the largest ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable("dltool")
class MaxUnpooling2D(keras.layers.Layer):
    """Puts each value to the place of the largest pixel of its window, and 0 to all other places.

        y[2i + a, 2j + b] = x[i, j] where reference[2i + a, 2j + b] is the largest of the window (i, j), else 0

    shown for `pool_size: 2`. Of several pixels that are equally large the first one counts, row by row. Nothing is
    learned. Its inputs are what to put back, and the map that was pooled: places are found again from it, so that any
    `MaxPooling2D` of the same size will do and no indices are passed on.

    Args:
        pool_size: rows and columns of a window, an int or two; windows do not overlap. Defaults to 2.
    Input shape: x (batch, rows, columns, channels), reference (batch, rows * size, columns * size, channels).
    Output shape: that of the reference.
    Raises:
        ValueError: if `pool_size` is no int >= 1 or two of them, or the shapes do not fit.
    Limits: three quarters of the output are 0; convolutions behind it have to fill them.
    Reference: Badrinarayanan, Kendall & Cipolla, 2017, SegNet: a deep convolutional encoder-decoder architecture for
        image segmentation, figure 3; Paszke et al., 2016, ENet, section 3.
    """

    def __init__(self, pool_size: int | Sequence[int] = 2, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        sizes = tuple(pool_size) if isinstance(pool_size, list | tuple) else (pool_size, pool_size)
        if len(sizes) != 2 or any(isinstance(n, bool) or not isinstance(n, int) or n < 1 for n in sizes):
            raise ValueError(
                f"The 'pool_size' parameter of MaxUnpooling2D must be one or two ints >= 1. Got {pool_size!r}."
            )
        self.pool_size: tuple[int, int] = (sizes[0], sizes[1])

    def build(self, input_shape: Any) -> None:
        is_pair = isinstance(input_shape, list | tuple) and len(input_shape) == 2
        if not is_pair or not all(isinstance(one, list | tuple) and len(one) == 4 for one in input_shape):
            raise ValueError(
                "MaxUnpooling2D reads a map and the map that was pooled: give both as 'inputs'. "
                f"Got shape {input_shape}."
            )
        small, large = input_shape
        wanted = (small[1] and small[1] * self.pool_size[0], small[2] and small[2] * self.pool_size[1], small[3])
        if any(None not in (a, b) and a != b for a, b in zip(wanted, large[1:], strict=True)):
            raise ValueError(
                f"MaxUnpooling2D of size {self.pool_size} makes {wanted} of {tuple(small[1:])}, and the map that was "
                f"pooled is {tuple(large[1:])}."
            )

    def call(self, inputs: Any) -> Any:
        x, reference = inputs
        rows, columns = self.pool_size
        _, height, width, channels = ops.shape(x)
        split = (-1, height, rows, width, columns, channels)
        # each window's pixels on one axis: (batch, height, width, channels, rows * columns)
        windows = ops.transpose(ops.reshape(reference, split), (0, 1, 3, 5, 2, 4))
        windows = ops.reshape(windows, (-1, height, width, channels, rows * columns))
        chosen = ops.one_hot(ops.argmax(windows, axis=-1), rows * columns, dtype=x.dtype)
        values = ops.reshape(chosen * ops.expand_dims(x, -1), (-1, height, width, channels, rows, columns))
        return ops.reshape(ops.transpose(values, (0, 1, 4, 2, 5, 3)), ops.shape(reference))

    def compute_output_shape(self, input_shape: Any) -> Any:
        return tuple(input_shape[1])

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "pool_size": self.pool_size}
