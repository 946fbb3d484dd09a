"""A predictor learns to foresee the next symbol of its inputs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from dltool.library.layers.history_compressor import HistoryCompressor
from dltool.library.objectives._base import Objective


class NextStep(Objective):
    """A HistoryCompressor learns to give each symbol a high probability, from those before it:

        loss = mean over examples and steps of -log p_t[x_t]    nats a step

    Figures: `next_step`, this loss, and `unexpected`, the share of symbols that the layer passes on.

    Input shape: (batch, steps, symbols), one-hot.
    Raises:
        ValueError: the layer is no HistoryCompressor.
    Limits: gradients go back through all steps, in memory of (batch x steps x units).
    Reference: Schmidhuber, 1992, Learning complex, extended sequences using the principle of history compression;
        lecture slide 86.
    """

    FIGURES = ("next_step", "unexpected")

    def build(self, layer: Any, input_shape: Sequence[int | None]) -> None:
        if not isinstance(layer, HistoryCompressor):
            raise ValueError(f"NextStep trains HistoryCompressor layers. '{layer.name}' is a {type(layer).__name__}.")
        super().build(layer, input_shape)

    def terms(self, inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        found = tf.cast(self.layer.log_probabilities(inputs), tf.float32)  # (batch, steps)
        unexpected = tf.cast(found < math.log(self.layer.expected), tf.float32)
        return {"next_step": -tf.reduce_mean(found), "unexpected": tf.stop_gradient(tf.reduce_mean(unexpected))}
