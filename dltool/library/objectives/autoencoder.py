"""Autoencoders: a layer learns to keep of its inputs what it takes to reconstruct them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from dltool.data.arguments import boolean, choice
from dltool.library.objectives._base import Objective

LOSSES = ("crossentropy", "squared_error")


class Autoencoder(Objective):
    """A dense layer h = f(x W + b) that learns to keep what a decoder r = g(h V + c) needs to give x again:

        loss = mean over examples of sum over features of -x log r - (1 - x) log(1 - r)    g: sigmoid; nats
        loss = mean over examples of sum over features of (x - r)^2                        g: identity

    The decoder's kernel V is the layer's own, transposed (tied weights), or one of its own. The figure
    `reconstruction` is the loss.

    Args:
        loss: "crossentropy" for inputs in [0, 1], or "squared_error". Defaults to "crossentropy".
        tied: whether V = W transposed, which then gets both gradients. Defaults to True.
    Input shape: (batch, features).
    Raises:
        ValueError: an argument is wrong, the layer is no Dense on vectors, or inputs leave [0, 1] under cross-entropy.
    Limits: with as many units as features nothing keeps the layer from copying its inputs: use fewer, or `Denoising`
        or `Contractive`. Penalties of the layer (kernel_regularizer) do not act here; constraints do.
    Reference: Bengio et al., 2006, Greedy layer-wise training of deep networks; lecture slides 86-87.
    """

    FIGURES: tuple[str, ...] = ("reconstruction",)

    def __init__(self, loss: str = "crossentropy", tied: bool = True) -> None:
        name = type(self).__name__
        self.loss = choice(name, "loss", loss, LOSSES)
        self.tied = boolean(name, "tied", tied)

    def build(self, layer: Any, input_shape: Sequence[int | None]) -> None:
        name = type(self).__name__
        if not isinstance(layer, keras.layers.Dense):
            raise ValueError(f"{name} trains Dense layers. '{layer.name}' is a {type(layer).__name__}.")
        if len(input_shape) != 2:
            raise ValueError(f"{name} takes vectors. The inputs of '{layer.name}' have shape {tuple(input_shape)}.")
        super().build(layer, input_shape)
        features = int(input_shape[1] or 0)
        self.bias = self.add_variable((features,), name="decoder_bias")
        self.kernel = (
            None if self.tied else self.add_variable((layer.units, features), "glorot_uniform", name="decoder")
        )

    def check(self, inputs: np.ndarray) -> None:
        low, high = float(np.min(inputs)), float(np.max(inputs))
        if self.loss == "crossentropy" and not (low >= 0 and high <= 1):
            raise ValueError(
                f"cross-entropy needs inputs in [0, 1]. Those of layer '{self.layer.name}' are in "
                f"[{low:.3g}, {high:.3g}]. Scale them, or set loss: squared_error."
            )

    def terms(self, inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"reconstruction": self._reconstruction(inputs, self.layer(inputs))}

    def decoder(self) -> tuple[Any, Any]:
        kernel = ops.transpose(self.layer.kernel) if self.kernel is None else ops.convert_to_tensor(self.kernel)
        return kernel, ops.convert_to_tensor(self.bias)

    def _reconstruction(self, inputs: tf.Tensor, hidden: tf.Tensor) -> tf.Tensor:
        """Return the loss of inputs (batch, features), reconstructed from hidden values (batch, units)."""
        kernel, bias = self.decoder()
        hidden, inputs = tf.cast(hidden, tf.float32), tf.cast(inputs, tf.float32)
        preactivations = hidden @ tf.cast(kernel, tf.float32) + bias  # (batch, features)
        if self.loss == "crossentropy":
            each = tf.nn.sigmoid_cross_entropy_with_logits(labels=inputs, logits=preactivations)
        else:
            each = tf.math.squared_difference(inputs, preactivations)
        return tf.reduce_mean(tf.reduce_sum(each, axis=-1))
