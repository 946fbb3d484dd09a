"""Contractive autoencoders: features that stay the same while inputs change a little."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from dltool.data.arguments import real
from dltool.library.objectives.autoencoder import Autoencoder


class Contractive(Autoencoder):
    """An `Autoencoder` whose features h = f(x W + b) are penalised for following small changes of the input:

        loss = reconstruction + weight * ||dh/dx||_F^2
        ||dh/dx||_F^2 = sum over units j of f'(a_j)^2 * sum over features i of W_ij^2,    a = x W + b

    averaged over examples. The figures are `reconstruction` and `contraction`, the weighted penalty.

    Args:
        weight: of the penalty, >= 0. Defaults to 0.1.
        loss, tied: as of `Autoencoder`.
    Input shape: (batch, features).
    Raises:
        ValueError: as `Autoencoder`, or the layer's activation is softmax, whose outputs depend on each other.
    Limits: only infinitesimal changes count: a ReLU that is off is contracted perfectly. With an own decoder
        (tied: false) the encoder can shrink and the decoder grow, which costs no penalty.
    Reference: Rifai et al., 2011, Contractive auto-encoders: explicit invariance during feature extraction.
    """

    FIGURES = ("reconstruction", "contraction")

    def __init__(self, weight: float = 0.1, loss: str = "crossentropy", tied: bool = True) -> None:
        super().__init__(loss, tied)
        self.weight = real("Contractive", "weight", weight, 0.0)

    def build(self, layer: Any, input_shape: Sequence[int | None]) -> None:
        super().build(layer, input_shape)
        if layer.activation in (keras.activations.softmax, keras.activations.log_softmax):
            message = "Contractive needs an activation that works unit by unit."
            raise ValueError(f"{message} That of layer '{layer.name}' is {layer.activation.__name__}.")

    def terms(self, inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        kernel = tf.convert_to_tensor(self.layer.kernel)
        preactivations = inputs @ tf.cast(kernel, inputs.dtype)  # (batch, units)
        if self.layer.use_bias:
            preactivations += tf.cast(self.layer.bias, inputs.dtype)
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(preactivations)
            hidden = self.layer.activation(preactivations)
        slopes = tf.cast(tape.gradient(hidden, preactivations), tf.float32)  # f'(a), (batch, units)
        norms = tf.reduce_sum(tf.square(tf.cast(kernel, tf.float32)), axis=0)  # of the columns of W, (units,)
        contraction = tf.reduce_mean(tf.reduce_sum(tf.square(slopes) * norms, axis=-1))
        return {"reconstruction": self._reconstruction(inputs, hidden), "contraction": self.weight * contraction}
