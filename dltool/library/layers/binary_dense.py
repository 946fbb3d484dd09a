"""A dense layer of binary weights."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from dltool.graph.multiply_adds import of_dense
from dltool.library.constraints.weight_clip import WeightClip
from dltool.library.layers import _straight_through as straight_through


@keras.saving.register_keras_serializable("dltool")
class BinaryDense(keras.layers.Dense):
    """A dense layer whose kernel is -1 and +1: y = activation(x sign(W) + b), W real and kept in [-1, 1].

    Training moves W: dC/dW = dC/dsign(W) where |W| <= 1 (the straight-through estimator), and after each update W is
    clipped to [-1, 1], where it can still change its sign. A deployed net needs sign(W) only, one bit per weight.

    Args:
        units: outputs, int > 0.
        use_bias: whether to add b, which stays real. A batch normalisation after the layer makes it needless.
        kernel_constraint: in place of clipping to [-1, 1].
        **kwargs: as of `keras.layers.Dense`.
    Input shape: (batch, ..., features).   Output shape: (batch, ..., units).
    Limits: the input is not binarised: put a `BinarySign` before it for products of bits. The first layer of a net
        takes the data's real numbers, which is a small part of the net's work (the paper's section "First
        layer"). It is computed in the usual arithmetic, so that it runs no faster than `Dense`; saved files hold the
        real W, to train on.
    Reference: Courbariaux et al., 2016, Binarized neural networks, arXiv:1602.02830, algorithm 1.
    """

    kernel_bits = 1  # of a weight when deployed
    multiply_adds = of_dense  # products of bits count as others

    def __init__(self, units: int, *, use_bias: bool = True, kernel_constraint: Any = None, **kwargs: Any) -> None:
        constraint = WeightClip(1.0) if kernel_constraint is None else kernel_constraint
        super().__init__(units, use_bias=use_bias, kernel_constraint=constraint, **kwargs)

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        outputs = ops.matmul(inputs, straight_through.sign(self.kernel))
        outputs = outputs if self.bias is None else ops.add(outputs, self.bias)
        return outputs if self.activation is None else self.activation(outputs)
