"""Denoising autoencoders: reconstruct an input from a corrupted one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from dltool.data.arguments import choice, fraction, real
from dltool.library.objectives.autoencoder import Autoencoder

NOISES = ("masking", "salt_and_pepper", "gaussian")


class Denoising(Autoencoder):
    """An `Autoencoder` that sees a corrupted input x~ and is to give the clean one: r = g(f(x~ W + b) V + c) near x.

        masking:          x~_i = 0 with probability `corruption`, else x_i
        salt_and_pepper:  x~_i = 0 or 1, each with probability corruption / 2, else x_i
        gaussian:         x~_i = x_i + corruption * N(0, 1)

    Each batch is corrupted afresh. The figure `reconstruction` is the loss of clean inputs from corrupted ones.

    Args:
        corruption: fraction of the features that are destroyed, in [0, 1); of gaussian noise its standard deviation in
            units of the inputs, >= 0. Defaults to 0.25.
        noise: "masking", "salt_and_pepper" or "gaussian". Defaults to "masking".
        loss, tied: as of `Autoencoder`.
    Input shape: (batch, features).
    Raises:
        ValueError: as `Autoencoder`, or corruption is out of its range.
    Limits: corruption acts in pre-training alone; the layer sees clean inputs afterwards, unscaled, unlike Dropout.
    Reference: Vincent et al., 2008, Extracting and composing robust features with denoising autoencoders; Vincent et
        al., 2010, Stacked denoising autoencoders.
    """

    def __init__(
        self, corruption: float = 0.25, noise: str = "masking", loss: str = "crossentropy", tied: bool = True
    ) -> None:
        super().__init__(loss, tied)
        self.noise = choice("Denoising", "noise", noise, NOISES)
        self.corruption = (
            real("Denoising", "corruption", corruption, 0.0)
            if noise == "gaussian"
            else fraction("Denoising", "corruption", corruption)
        )

    def build(self, layer: Any, input_shape: Sequence[int | None]) -> None:
        super().build(layer, input_shape)
        self.generator = self.add_generator()

    def terms(self, inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"reconstruction": self._reconstruction(inputs, self.layer(self.corrupt(inputs)))}

    def corrupt(self, inputs: tf.Tensor) -> tf.Tensor:
        """Return corrupted inputs, of the same shape and type; the next call draws other noise."""
        if self.noise == "gaussian":
            noise = keras.random.normal(tf.shape(inputs), dtype="float32", seed=self.generator)
            return inputs + tf.cast(self.corruption * noise, inputs.dtype)
        draws = keras.random.uniform(tf.shape(inputs), dtype="float32", seed=self.generator)
        kept = tf.where(draws < self.corruption, tf.zeros_like(inputs), inputs)
        if self.noise == "masking":
            return kept
        return tf.where(draws < self.corruption / 2, tf.ones_like(inputs), kept)
