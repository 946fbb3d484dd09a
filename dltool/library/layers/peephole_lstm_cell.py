"""An LSTM whose gates see the cell."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable("dltool")
class PeepholeLSTMCell(keras.layers.Layer):
    """One step of an LSTM with peephole connections, for `RNN: {cell: {PeepholeLSTMCell: 64}}`.

        i = sigmoid(W_i x + U_i h + p_i * c + b_i)
        f = sigmoid(W_f x + U_f h + p_f * c + b_f)
        c' = f * c + i * tanh(W_c x + U_c h + b_c)
        o = sigmoid(W_o x + U_o h + p_o * c' + b_o)
        h' = o * tanh(c')

    With all p = 0 it is Keras's LSTM, whose order i, f, c, o of the columns and biases it has.

    Args:
        units: width of h and c, int > 0.
    Input shape: (batch, features), states (batch, units) twice.   Output shape: (batch, units).
    Raises:
        ValueError: if `units` is out of its range.
    Limits: gates of one unit see the cell of that unit only; no dropout.
    Reference: Gers, Schraudolph & Schmidhuber, 2002, JMLR 3, 115-143, section 3; lecture slide 136.
    """

    def __init__(self, units: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if isinstance(units, bool) or not isinstance(units, int) or units < 1:
            raise ValueError(f"The 'units' parameter of PeepholeLSTMCell must be an int > 0. Got {units!r}.")
        self.units, self.state_size, self.output_size = units, [units, units], units

    def build(self, input_shape: Any) -> None:
        n = self.units
        self.kernel = self.add_weight((input_shape[-1], 4 * n), "glorot_uniform", name="kernel")
        self.recurrent_kernel = self.add_weight((n, 4 * n), "orthogonal", name="recurrent_kernel")
        self.peepholes = self.add_weight((3, n), "zeros", name="peepholes")  # of i, f and o
        self.bias = self.add_weight((4 * n,), _forget_ones(n), name="bias")

    def call(self, inputs: Any, states: Any, training: bool = False) -> Any:
        h, c = states
        z = ops.matmul(inputs, self.kernel) + ops.matmul(h, self.recurrent_kernel) + self.bias
        i, f, candidate, o = ops.split(z, 4, axis=-1)
        i = ops.sigmoid(i + self.peepholes[0] * c)
        f = ops.sigmoid(f + self.peepholes[1] * c)
        c = f * c + i * ops.tanh(candidate)
        h = ops.sigmoid(o + self.peepholes[2] * c) * ops.tanh(c)
        return h, [h, c]

    def get_initial_state(self, batch_size: int | None = None) -> list[Any]:
        return [ops.zeros((batch_size, self.units), self.compute_dtype) for _ in range(2)]

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "units": self.units}


def _forget_ones(units: int) -> Any:
    """Biases 0, those of f 1, so that the cell keeps at first (Gers et al., 2000)."""

    def initializer(shape: Any, dtype: Any = None) -> Any:
        ones = ops.ones((units,), dtype)
        return ops.concatenate([ops.zeros((units,), dtype), ones, ops.zeros((2 * units,), dtype)])

    return initializer
