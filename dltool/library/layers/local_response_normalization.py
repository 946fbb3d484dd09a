"""Local response normalisation."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable("dltool")
class LocalResponseNormalization(keras.layers.Layer):
    """Division by the activity of neighbouring channels: b_i = a_i / (k + alpha * sum_j a_j^2)^beta.

    The sum runs over the channels j from max(0, i - size // 2) to min(channels - 1, i + size // 2), at the same pixel.

    Args:
        size: n, channels in the sum, odd int >= 1. Defaults to 5.
        k: added to the sum. Defaults to 2.
        alpha: weight of the sum. Defaults to 1e-4.
        beta: exponent. Defaults to 0.75.
    Input shape: (batch, rows, columns, channels).   Output shape: the same.
    Raises:
        ValueError: if `size` is no odd int >= 1, or k <= 0; on building, if the input is no batch of images.
    Limits: some libraries divide alpha by size (Caffe, PyTorch); here it is the paper's.
    Reference: Krizhevsky, Sutskever & Hinton, 2012, ImageNet classification with deep convolutional neural
        networks, section 3.3 (whose constants are the defaults).
    """

    is_pointwise = True  # for receptive fields

    def __init__(self, size: int = 5, k: float = 2.0, alpha: float = 1e-4, beta: float = 0.75, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        name = type(self).__name__
        if isinstance(size, bool) or not isinstance(size, int) or size < 1 or size % 2 == 0:
            raise ValueError(f"The 'size' parameter of {name} must be an odd int >= 1. Got {size!r}.")
        if isinstance(k, bool) or not isinstance(k, int | float) or not k > 0:
            raise ValueError(f"The 'k' parameter of {name} must be a number > 0. Got {k!r}.")
        self.size, self.k, self.alpha, self.beta = size, k, alpha, beta
        self.input_spec = keras.layers.InputSpec(ndim=4)

    def call(self, inputs: Any) -> Any:
        radius = self.size // 2
        return tf.nn.local_response_normalization(inputs, radius, bias=self.k, alpha=self.alpha, beta=self.beta)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        own = {"size": self.size, "k": self.k, "alpha": self.alpha, "beta": self.beta}
        return {**super().get_config(), **own}
