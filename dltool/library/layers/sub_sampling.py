"""The sub-sampling of LeNet-5."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable("dltool")
class SubSampling(keras.layers.Layer):
    """Sums over windows with a trainable coefficient and bias a channel: y_c = activation(w_c * sum(x_c) + b_c).

    Windows do not overlap. Two trainable parameters a channel: w starts at 1 / (window's pixels), the mean, b at 0.

    Args:
        pool_size: rows and columns of a window, an int or two. Defaults to 2.
        activation: Keras's name of a function, or None.
    Input shape: (batch, rows, columns, channels).
    Output shape: (batch, rows // pool_size, columns // pool_size, channels); what does not fill a window is left out.
    Raises:
        ValueError: if `pool_size` is no int >= 1 or two of them.
    Reference: LeCun et al., 1998, Gradient-based learning applied to document recognition, section II-B (S2, S4).
    """

    def __init__(self, pool_size: int | tuple[int, int] = 2, activation: Any = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        sizes = tuple(pool_size) if isinstance(pool_size, list | tuple) else (pool_size, pool_size)
        if len(sizes) != 2 or any(isinstance(n, bool) or not isinstance(n, int) or n < 1 for n in sizes):
            raise ValueError(
                f"The 'pool_size' parameter of SubSampling must be one or two ints >= 1. Got {pool_size!r}."
            )
        self.pool_size = self.strides = sizes
        self.activation = keras.activations.get(activation)
        self.input_spec = keras.layers.InputSpec(ndim=4)

    def build(self, input_shape: Any) -> None:
        channels = (input_shape[-1],)
        mean = keras.initializers.Constant(1 / (self.pool_size[0] * self.pool_size[1]))
        self.coefficient = self.add_weight(shape=channels, initializer=mean, name="coefficient")
        self.bias = self.add_weight(shape=channels, initializer="zeros", name="bias")

    def call(self, inputs: Any) -> Any:
        pixels = self.pool_size[0] * self.pool_size[1]
        sums = pixels * ops.average_pool(inputs, self.pool_size, data_format="channels_last")
        return self.activation(self.coefficient * sums + self.bias)

    def compute_output_shape(self, input_shape: Any) -> Any:
        batch, rows, columns, channels = input_shape
        return batch, rows and rows // self.pool_size[0], columns and columns // self.pool_size[1], channels

    def get_config(self) -> dict[str, Any]:
        activation = keras.activations.serialize(self.activation)
        return {**super().get_config(), "pool_size": self.pool_size, "activation": activation}
