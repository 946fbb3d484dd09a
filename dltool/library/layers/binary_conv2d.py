"""A convolution of binary weights."""

from __future__ import annotations

from typing import Any

import keras

from dltool.graph.multiply_adds import of_convolution
from dltool.library.constraints.weight_clip import WeightClip
from dltool.library.layers import _straight_through as straight_through


@keras.saving.register_keras_serializable("dltool")
class BinaryConv2D(keras.layers.Conv2D):
    """A convolution whose kernels are -1 and +1: y = activation(x * sign(W) + b), W real and kept in [-1, 1].

    Trained as `BinaryDense`: dC/dW = dC/dsign(W) where |W| <= 1, W clipped to [-1, 1] after each update.

    Args:
        filters: output channels, int > 0.
        kernel_size: rows and columns of a kernel, an int or two.
        use_bias: whether to add b, which stays real. A batch normalisation after the layer makes it needless.
        kernel_constraint: in place of clipping to [-1, 1].
        **kwargs: as of `keras.layers.Conv2D`.
    Input shape: (batch, rows, columns, channels).   Output shape: (batch, rows', columns', filters).
    Limits: the input is not binarised: put a `BinarySign` before it; a net's first layer takes real pixels.
        `padding: same` adds zeros, which are no bits. It is computed in the usual arithmetic, no faster than `Conv2D`;
        saved files hold the real W.
    Reference: Courbariaux et al., 2016, Binarized neural networks, arXiv:1602.02830, algorithm 1.
    """

    kernel_bits = 1  # of a weight when deployed
    multiply_adds = of_convolution  # products of bits count as others

    def __init__(
        self,
        filters: int,
        kernel_size: int | tuple[int, int],
        *,
        use_bias: bool = True,
        kernel_constraint: Any = None,
        **kwargs: Any,
    ) -> None:
        constraint = WeightClip(1.0) if kernel_constraint is None else kernel_constraint
        super().__init__(filters, kernel_size, use_bias=use_bias, kernel_constraint=constraint, **kwargs)

    def convolution_op(self, inputs: Any, kernel: Any) -> Any:
        return super().convolution_op(inputs, straight_through.sign(kernel))
