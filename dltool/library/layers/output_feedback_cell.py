"""A simple recurrent net that also receives its last output."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable("dltool")
class OutputFeedbackCell(keras.layers.Layer):
    """One step of the lecture's recurrent net, for `RNN: {cell: {OutputFeedbackCell: {units: 64, outputs: 1}}}`.

        s' = f(W_in x + W s + W_back y + b)
        y' = g(W_out s' + b_out)

    Args:
        units: width of the state s, int > 0.
        outputs: width of the output y, int > 0.
        activation: f. Defaults to "tanh".
        output_activation: g; None for the identity. Defaults to None.
    Input shape: (batch, features), states (batch, units) and (batch, outputs).   Output shape: (batch, outputs).
    Raises:
        ValueError: if a width is out of its range.
    Limits: fed back are the net's own outputs, in training too (no teacher forcing).
    Reference: lecture slide 132; without W: Jordan, 1986; without W_back: Elman, 1990, which is Keras's SimpleRNN.
    """

    def __init__(
        self, units: int, outputs: int, activation: Any = "tanh", output_activation: Any = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        for name, value in (("units", units), ("outputs", outputs)):
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ValueError(f"The '{name}' parameter of OutputFeedbackCell must be an int > 0. Got {value!r}.")
        self.units, self.outputs = units, outputs
        self.activation, self.output_activation = (
            keras.activations.get(activation),
            keras.activations.get(output_activation),
        )
        self.state_size, self.output_size = [units, outputs], outputs

    def build(self, input_shape: Any) -> None:
        self.kernel = self.add_weight((input_shape[-1], self.units), "glorot_uniform", name="kernel")
        self.recurrent_kernel = self.add_weight((self.units, self.units), "orthogonal", name="recurrent_kernel")
        self.feedback_kernel = self.add_weight((self.outputs, self.units), "glorot_uniform", name="feedback_kernel")
        self.bias = self.add_weight((self.units,), "zeros", name="bias")
        self.output_kernel = self.add_weight((self.units, self.outputs), "glorot_uniform", name="output_kernel")
        self.output_bias = self.add_weight((self.outputs,), "zeros", name="output_bias")

    def call(self, inputs: Any, states: Any, training: bool = False) -> Any:
        s, y = states
        z = ops.matmul(inputs, self.kernel) + ops.matmul(s, self.recurrent_kernel) + ops.matmul(y, self.feedback_kernel)
        s = self.activation(z + self.bias)
        y = self.output_activation(ops.matmul(s, self.output_kernel) + self.output_bias)
        return y, [s, y]

    def get_initial_state(self, batch_size: int | None = None) -> list[Any]:
        return [ops.zeros((batch_size, width), self.compute_dtype) for width in (self.units, self.outputs)]

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "units": self.units,
            "outputs": self.outputs,
            "activation": keras.activations.serialize(self.activation),
            "output_activation": keras.activations.serialize(self.output_activation),
        }
