"""A recurrent step of several layers with gates around them."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable("dltool")
class RecurrentHighwayCell(keras.layers.Layer):
    """One step of a recurrent highway network, for `RNN: {cell: {RecurrentHighwayCell: {units: 64, depth: 3}}}`.

        for l = 1 ... depth, s_0 the state of the step before, the input at l = 1 only:
            h = tanh(W_h x + R_h,l s_l-1 + b_h,l)
            t = sigmoid(W_t x + R_t,l s_l-1 + b_t,l)
            s_l = t * h + (1 - t) * s_l-1

    Args:
        units: width of the state, int > 0.
        depth: layers a step, int > 0. Defaults to 3.
        transform_bias: b_t at the start; the more negative, the longer the state is kept. Defaults to -2.0.
    Input shape: (batch, features), state (batch, units).   Output shape: (batch, units).
    Raises:
        ValueError: if an argument is out of its range.
    Limits: the carry gate is coupled, c = 1 - t, as in the paper's experiments.
    Reference: Zilly et al., 2017, arXiv:1607.03474, equations 7-9; lecture slide 136.
    """

    def __init__(self, units: int, depth: int = 3, transform_bias: float = -2.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        for name, value in (("units", units), ("depth", depth)):
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ValueError(f"The '{name}' parameter of RecurrentHighwayCell must be an int > 0. Got {value!r}.")
        self.units, self.depth, self.transform_bias = units, depth, float(transform_bias)
        self.state_size, self.output_size = units, units

    def build(self, input_shape: Any) -> None:
        n = self.units
        self.kernel = self.add_weight((input_shape[-1], 2 * n), "glorot_uniform", name="kernel")
        self.recurrent_kernels, self.biases = [], []
        for layer in range(self.depth):
            name = f"recurrent_kernel_{layer}"
            self.recurrent_kernels.append(self.add_weight((n, 2 * n), "glorot_uniform", name=name))
            self.biases.append(self.add_weight((2 * n,), self._bias, name=f"bias_{layer}"))

    def call(self, inputs: Any, states: Any, training: bool = False) -> Any:
        s = states[0] if isinstance(states, list | tuple) else states
        for layer, (kernel, bias) in enumerate(zip(self.recurrent_kernels, self.biases, strict=True)):
            z = ops.matmul(s, kernel) + bias
            if layer == 0:
                z += ops.matmul(inputs, self.kernel)
            h, t = ops.tanh(z[:, : self.units]), ops.sigmoid(z[:, self.units :])
            s += t * (h - s)
        return s, [s]

    def get_initial_state(self, batch_size: int | None = None) -> list[Any]:
        return [ops.zeros((batch_size, self.units), self.compute_dtype)]

    def get_config(self) -> dict[str, Any]:
        config = {"units": self.units, "depth": self.depth, "transform_bias": self.transform_bias}
        return {**super().get_config(), **config}

    def _bias(self, shape: Any, dtype: Any = None) -> Any:
        carried = ops.full((self.units,), self.transform_bias, dtype)
        return ops.concatenate([ops.zeros((self.units,), dtype), carried])
