"""A recurrent net that foresees its inputs, and passes on those that it has not foreseen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from dltool.data import arguments


@keras.saving.register_keras_serializable("dltool")
class HistoryCompressor(keras.layers.Layer):
    """The lower level of a neural history compressor: a recurrent net that predicts symbols from those before.

        h_t = tanh(W x_t + R h_t-1 + b), h_0 = 0;   p_t = softmax(V h_t-1 + c)
        output_t = x_t if p_t[x_t] < expected, else 0

    Symbols that it expects carry no news and become vectors of zeros, which a `Masking` layer behind it marks as steps
    to skip: a recurrent net above them sees the unexpected symbols alone, so that a long time may be a few steps there.
    The objective `NextStep` of the procedure `Greedy` trains it.

    Args:
        units: width of the state h, int > 0.
        expected: probability from which on a symbol is expected, in (0, 1]. Defaults to 0.5.
    Input shape: (batch, steps, symbols), one-hot.   Output shape: the same.
    Raises:
        ValueError: if an argument is out of its range.
    Limits: whether a symbol is passed on is no smooth function: the loss of a net that ends elsewhere gives no gradient
        to these weights. How many steps were skipped is not passed on. Train it before the layers above it.
    Reference: Schmidhuber, 1991, Neural sequence chunkers, TU Munich FKI-148-91; Schmidhuber, 1992, Learning complex,
        extended sequences using the principle of history compression, Neural Computation 4, 234-242; lecture slide 86.
    """

    def __init__(self, units: int, expected: float = 0.5, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.units = arguments.integer("HistoryCompressor", "units", units, 1)
        self.expected = arguments.real("HistoryCompressor", "expected", expected, 0)
        if not 0 < self.expected <= 1:
            raise arguments.wrong("HistoryCompressor", "expected", "a number in (0, 1]", expected)
        self.recurrent = keras.layers.SimpleRNN(self.units, return_sequences=True)

    def build(self, input_shape: Any) -> None:
        self.recurrent.build(input_shape)
        self.predictor = keras.layers.Dense(input_shape[-1])
        self.predictor.build((*input_shape[:-1], self.units))

    def log_probabilities(self, inputs: Any) -> Any:
        """Return the logarithm of each symbol's probability given those before it, nats, (batch, steps)."""
        states = self.recurrent(inputs)  # (batch, steps, units)
        before = ops.concatenate([ops.zeros_like(states[:, :1]), states[:, :-1]], axis=1)
        return ops.sum(inputs * ops.log_softmax(self.predictor(before), axis=-1), axis=-1)

    def call(self, inputs: Any) -> Any:
        unexpected = ops.exp(self.log_probabilities(inputs)) < self.expected
        return inputs * ops.cast(unexpected, inputs.dtype)[..., None]

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape

    def multiply_adds(self, inputs: Sequence[Any], output: Any) -> int:
        """Return the products of an example: those of the recurrent net and of its predictor at each step."""
        _, steps, symbols = inputs[0]
        return int(steps * self.units * (2 * symbols + self.units))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "units": self.units, "expected": self.expected}
