"""How each kind of layer passes on the moments of signals and gradients."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from dltool.init_stats.capture import Signal

WeightMoment = Callable[[Any, Any], float]  # layer, weight -> E[w^2]
CONVOLUTIONS = (keras.layers.Conv1D, keras.layers.Conv2D, keras.layers.Conv3D)
TRANSPOSED = (keras.layers.Conv1DTranspose, keras.layers.Conv2DTranspose, keras.layers.Conv3DTranspose)
DROPOUTS = (
    keras.layers.Dropout,
    keras.layers.SpatialDropout1D,
    keras.layers.SpatialDropout2D,
    keras.layers.SpatialDropout3D,
)


class Unknown(Exception):
    """Theory has no rule here: what follows starts from what is measured."""


@dataclass
class Moments:
    """Mean and second moment over the units, of each example and position: arrays (examples, *positions)."""

    mean: np.ndarray
    square: np.ndarray

    @property
    def variance(self) -> float:
        """Pooled over examples, positions and units."""
        return float(np.mean(self.square) - np.mean(self.mean) ** 2)


class Propagator:
    """A rule for layers that keep moments, such as Activation, whose function is applied separately."""

    has_weights = False

    def __init__(self, signal: Signal, weight_moment: WeightMoment) -> None:
        self.signal, self.layer, self.weight_moment = signal, signal.part.layer, weight_moment

    def forward(self, inputs: Sequence[Moments]) -> Moments:
        return inputs[0]

    def backward(self, gradient: np.ndarray, state: Moments | None) -> np.ndarray:
        """Second moment of the gradient at the input, from that at the output (before an activation)."""
        return gradient


class Densely(Propagator):
    """Dense: q = n Var(w) E[x^2] + E[b^2]; back: U Var(w) E[g^2] for U units."""

    has_weights = True

    def forward(self, inputs: Sequence[Moments]) -> Moments:
        layer = self.layer
        square = layer.kernel.shape[0] * self.weight_moment(layer, layer.kernel) * inputs[0].square
        square = square + self._bias()
        return Moments(np.zeros_like(square), square)

    def backward(self, gradient: np.ndarray, state: Moments | None) -> np.ndarray:
        return self.layer.kernel.shape[-1] * self.weight_moment(self.layer, self.layer.kernel) * gradient

    def _bias(self) -> float:
        bias = getattr(self.layer, "bias", None)
        return 0.0 if bias is None else self.weight_moment(self.layer, bias)


class Convolving(Densely):
    """Convolutions: the taps that fall on the image instead of n, each with E[x^2] of its position."""

    def forward(self, inputs: Sequence[Moments]) -> Moments:
        layer = self.layer
        counted = np.asarray(self._count(tf.constant(inputs[0].square[..., None])))[..., 0]
        square = self._inputs() * self.weight_moment(layer, self._kernel()) * counted + self._bias()
        return Moments(np.zeros_like(square), square)

    def backward(self, gradient: np.ndarray, state: Moments | None) -> np.ndarray:
        x = tf.zeros((len(gradient), *self.signal.values["input"][0].shape[1:-1], 1), tf.float64)
        with tf.GradientTape() as tape:
            tape.watch(x)
            counted = self._count(x)
        # the counting is linear in x: its adjoint sends each output's share back to its taps
        adjoint = tape.gradient(counted, x, output_gradients=tf.constant(gradient[..., None]))
        moment = self.weight_moment(self.layer, self._kernel())
        return self._outputs() * moment * np.asarray(adjoint)[..., 0]

    def _kernel(self) -> Any:
        return self.layer.kernel

    def _inputs(self) -> int:
        return self.layer.kernel.shape[-2]

    def _outputs(self) -> int:
        return self.layer.kernel.shape[-1] // self.layer.groups

    def _count(self, x: tf.Tensor) -> tf.Tensor:
        """Return the sum of x over the window, as a convolution with one channel and unit weights."""
        layer = self.layer
        if layer.data_format == "channels_first":
            raise Unknown
        ones = tf.ones((*layer.kernel_size, 1, 1), x.dtype)
        padding = layer.padding
        if padding == "causal":
            left = layer.dilation_rate[0] * (layer.kernel_size[0] - 1)
            x, padding = tf.pad(x, [[0, 0], [left, 0], [0, 0]]), "valid"
        return keras.ops.conv(x, ones, layer.strides, padding, "channels_last", layer.dilation_rate)


class ConvolvingDepthwise(Convolving):
    """Depthwise convolutions: one input channel for each output."""

    def _kernel(self) -> Any:
        return self.layer.kernel

    def _inputs(self) -> int:
        return 1

    def _outputs(self) -> int:
        return self.layer.depth_multiplier


class Dropping(Propagator):
    """Dropout in training: kept with 1 - rate and divided by it, E[x^2] / (1 - rate); the gradient likewise."""

    def forward(self, inputs: Sequence[Moments]) -> Moments:
        return Moments(inputs[0].mean, inputs[0].square / (1 - self.layer.rate))

    def backward(self, gradient: np.ndarray, state: Moments | None) -> np.ndarray:
        return gradient / (1 - self.layer.rate)


class Flattening(Propagator):
    """Flatten: positions become units."""

    def forward(self, inputs: Sequence[Moments]) -> Moments:
        axes = tuple(range(1, inputs[0].mean.ndim))
        return Moments(inputs[0].mean.mean(axis=axes), inputs[0].square.mean(axis=axes))

    def backward(self, gradient: np.ndarray, state: Moments | None) -> np.ndarray:
        shape = self.signal.values["input"][0].shape[:-1]
        return np.broadcast_to(gradient.reshape(len(gradient), *[1] * (len(shape) - 1)), shape)


class Normalizing(Propagator):
    """Batch and layer normalisation: variance gamma^2, mean beta; back: gamma^2 / Var(x) E[g^2].

    Limits: backward, the two directions that normalisation projects out are left out: a share of 2 / n of n values.
    """

    def forward(self, inputs: Sequence[Moments]) -> Moments:
        layer = self.layer
        if not layer.trainable:  # running statistics in place of the batch's
            raise Unknown
        gamma, beta = getattr(layer, "gamma", None), getattr(layer, "beta", None)
        variance = 1.0 if gamma is None else float(np.mean(np.asarray(gamma, np.float64) ** 2))
        mean = 0.0 if beta is None else float(np.mean(np.asarray(beta, np.float64)))
        shape = inputs[0].mean.shape
        whitened = self._spread() / (self._spread() + layer.epsilon)
        return Moments(np.full(shape, mean), np.full(shape, variance * whitened + mean**2))

    def backward(self, gradient: np.ndarray, state: Moments | None) -> np.ndarray:
        gamma = getattr(self.layer, "gamma", None)
        square = 1.0 if gamma is None else float(np.mean(np.asarray(gamma, np.float64) ** 2))
        return gradient * square / (self._spread() + self.layer.epsilon)

    def _spread(self) -> float:
        """Return the mean measured variance that the layer divides by, per channel or per example."""
        x = np.asarray(self.signal.values["input"][0], np.float64)
        over = tuple(range(x.ndim - 1)) if isinstance(self.layer, keras.layers.BatchNormalization) else (-1,)
        return float(np.mean(x.var(axis=over)))


class Adding(Propagator):
    """Add: second moments of independent terms, E[(a + b)^2] = E a^2 + E b^2 + 2 E a E b; back: the same to each."""

    def forward(self, inputs: Sequence[Moments]) -> Moments:
        if len({one.mean.shape for one in inputs}) > 1 or len(inputs) < len(self.signal.source):
            raise Unknown
        mean = sum(one.mean for one in inputs)
        variance = sum(one.square - one.mean**2 for one in inputs)
        return Moments(np.asarray(mean), np.asarray(variance + mean**2))


def propagator(signal: Signal, weight_moment: WeightMoment) -> Propagator:
    """Return the rule of a signal's layer.

    Raises:
        Unknown: the layer has no rule.
    """
    layer, layers = signal.part.layer, keras.layers
    kinds: list[tuple[Any, type[Propagator]]] = [
        (layers.Dense, Densely),
        (TRANSPOSED, Propagator),
        (CONVOLUTIONS, Convolving),
        ((layers.DepthwiseConv1D, layers.DepthwiseConv2D), ConvolvingDepthwise),
        (DROPOUTS, Dropping),
        (layers.Flatten, Flattening),
        ((layers.BatchNormalization, layers.LayerNormalization), Normalizing),
        (layers.Add, Adding),
        ((layers.Activation, layers.ReLU, layers.LeakyReLU, layers.ELU), Propagator),
    ]
    for kind, rule in kinds:
        if isinstance(layer, kind):
            if kind is TRANSPOSED:
                break
            if rule is not Adding and len(signal.source) > 1:
                break
            return rule(signal, weight_moment)
    raise Unknown
