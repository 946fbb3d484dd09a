"""The activation of binarised nets."""

from __future__ import annotations

from typing import Any

import keras

from dltool.library.layers import _straight_through as straight_through


@keras.saving.register_keras_serializable("dltool")
class BinarySign(keras.layers.Layer):
    """The sign of each number: y = +1 if x >= 0 else -1; going back, dC/dx = dC/dy where |x| <= 1, else 0.

    It stands before a binary layer, after a batch normalisation that brings its input near [-1, 1].

    Input shape: any.   Output shape: the same, values -1 and +1.
    Limits: the gradient is not the derivative, which is 0: `dltool check-gradients` finds that they differ.
        Where |x| > 1 for all examples a unit no longer learns.
    Reference: Courbariaux et al., 2016, Binarized neural networks, arXiv:1602.02830, eq. 1 and 4.
    """

    is_pointwise = True  # for receptive fields

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True

    def call(self, inputs: Any) -> Any:
        return straight_through.sign(inputs)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape
