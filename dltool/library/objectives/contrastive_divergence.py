"""Contrastive divergence: how a restricted Boltzmann machine learns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from dltool.data.arguments import boolean, integer
from dltool.library.layers.rbm import RBM
from dltool.library.objectives._base import Objective


class ContrastiveDivergence(Objective):
    """The likelihood's gradient for a layer `RBM`, with k steps of Gibbs sampling in place of the model's expectation:

        -d log p(v) / dW = E_model[v' y] - v' y,  for c: E_model[y] - y,  for b: E_model[v] - v,  y = P(h = 1 | v)

    E_model is a mean over chains after k steps h -> v -> h. They start at the batch's own hidden units (CD-k), or
    where the batch before left them (persistent contrastive divergence, PCD-k, unbiased as the rate goes to 0).

    Figures, means over an epoch's training batches:
        reconstruction_error: sum over features of (v - mean of v given h)^2, h drawn from P(h | v), an example.
        pseudo_likelihood: sum over features of log P(v_i | all others), in nats an example, estimated as (number of
            features) log P(v_i | all others) at one i an example, which goes round all of them; inputs are rounded to
            0 or 1. With binary units only. Higher is better.

    Args:
        steps: k, int > 0. Defaults to 1.
        persistent: whether chains live on from batch to batch. Defaults to False.
        chains: how many persistent chains, int > 0; they begin with all hidden units off. Defaults to 100.
    Input shape: (batch, features), values in [0, 1] for binary visible units.
    Raises:
        ValueError: an argument is wrong, the layer is no RBM, or inputs of binary units leave [0, 1].
    Limits: the gradient is that of no function: figures tell whether it goes well, and a reconstruction error may fall
        while the likelihood does too. Persistent chains need a small or falling learning rate. Momentum is the
        optimizer's. Inputs are not drawn: values between 0 and 1 take part as they are.
    Reference: Hinton, 2002, Training products of experts by minimizing contrastive divergence, Neural Computation 14;
        Tieleman, 2008, Training restricted Boltzmann machines using approximations to the likelihood gradient; Hinton,
        2010, A practical guide to training restricted Boltzmann machines; lecture slides 86-87.
    """

    FIGURES: tuple[str, ...] = ("reconstruction_error",)

    def __init__(self, steps: int = 1, persistent: bool = False, chains: int = 100) -> None:
        name = type(self).__name__
        self.steps = integer(name, "steps", steps, 1)
        self.persistent = boolean(name, "persistent", persistent)
        self.chains = integer(name, "chains", chains, 1)

    def build(self, layer: Any, input_shape: Sequence[int | None]) -> None:
        if not isinstance(layer, RBM):
            raise ValueError(f"ContrastiveDivergence trains layers RBM. '{layer.name}' is a {type(layer).__name__}.")
        super().build(layer, input_shape)
        self.trainable = [layer.kernel, layer.bias, layer.visible_bias]
        if layer.visible == "binary":
            self.FIGURES = (*ContrastiveDivergence.FIGURES, "pseudo_likelihood")
        self._generator = self.add_generator()
        self._seen = self.add_variable((), trainable=False, name="seen")  # examples, modulo the features
        if self.persistent:
            self._hidden = self.add_variable((self.chains, layer.units), trainable=False, name="chains")

    def check(self, inputs: np.ndarray) -> None:
        low, high = float(np.min(inputs)), float(np.max(inputs))
        if self.layer.visible == "binary" and not (low >= 0 and high <= 1):
            raise ValueError(
                f"binary visible units need inputs in [0, 1]. Those of layer '{self.layer.name}' are in "
                f"[{low:.3g}, {high:.3g}]. Scale them, or set visible: gaussian."
            )

    def gradients(self, inputs: tf.Tensor) -> tuple[dict[str, tf.Tensor], list[Any]]:
        layer = self.layer
        inputs = tf.cast(inputs, layer.kernel.dtype)
        probabilities = layer.infer_hidden(inputs)  # (batch, units)
        drawn = layer.draw_hidden(probabilities, self._generator)
        figures = {"reconstruction_error": _squared_error(inputs, layer.infer_visible(drawn))}
        if layer.visible == "binary":
            figures["pseudo_likelihood"] = self._pseudo_likelihood(inputs)
        model, data = _statistics(*self._run_chains(drawn)), _statistics(inputs, probabilities)
        return figures, [expected - seen for expected, seen in zip(model, data, strict=True)]

    def _run_chains(self, drawn: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Return the chains' v after k steps, (chains, features), and P(h = 1 | v), (chains, units).

        Args:
            drawn: hidden units of the batch, 0 or 1, (batch, units).
        """
        hidden = tf.convert_to_tensor(self._hidden.value) if self.persistent else drawn
        visible = probabilities = hidden
        for _ in range(self.steps):
            visible, probabilities, hidden = self.layer.step_gibbs(hidden, self._generator)
        if self.persistent:
            self._hidden.assign(hidden)
        return visible, probabilities

    def _pseudo_likelihood(self, inputs: tf.Tensor) -> tf.Tensor:
        """Return the estimate of a batch, a scalar; counts its examples, so that the units go round."""
        features, examples = inputs.shape[1], tf.shape(inputs)[0]
        first = tf.cast(tf.convert_to_tensor(self._seen.value), tf.int32)
        self._seen.assign(tf.cast((first + examples) % features, tf.float32))
        units = (first + tf.range(examples)) % features
        rounded = tf.cast(inputs > 0.5, inputs.dtype)
        return features * tf.reduce_mean(self.layer.compute_log_conditional(rounded, units))


def _statistics(visible: tf.Tensor, hidden: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Return the means over examples of v' h, h and v."""
    examples = tf.cast(tf.shape(visible)[0], visible.dtype)
    products = tf.matmul(visible, hidden, transpose_a=True) / examples  # (features, units)
    return products, tf.reduce_mean(hidden, axis=0), tf.reduce_mean(visible, axis=0)


def _squared_error(inputs: tf.Tensor, reconstruction: tf.Tensor) -> tf.Tensor:
    return tf.reduce_mean(tf.reduce_sum(tf.math.squared_difference(inputs, reconstruction), axis=1))
