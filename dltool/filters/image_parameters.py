"""Ways to write an image as unbounded numbers that a gradient ascent may move freely."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from dltool.output.pixels import PixelRange

BOUNDS = ("range", "norm", "none")
NOISE = 0.01  # standard deviation of where the ascent begins
NEAR = 0.02  # of the range: a mean at its very end would leave the sigmoid without gradient


@dataclass(frozen=True)
class ImageParameters:
    """Images x(u) of parameters u, beginning at the data's mean.

    z = u, or with `fourier` the real field whose spectrum is u / f: low frequencies move faster. Then x is, by `bound`,
    "range": low + (high - low) sigmoid(z + logit of the mean), so that x keeps to the data's pixels;
    "norm": mean + norm z / |z|, as long a deviation as the data's on average, in the part that the mask leaves;
    "none": mean + (high - low) z.

    Args:
        shape: of an image, (rows, columns, channels) or (positions, channels).
        mask: 1 where the image matters, of the shape without channels; the whole "norm" goes there.
    Raises:
        ValueError: an unknown bound, or a Fourier parameterisation of what is no image.
    Reference: Erhan et al., 2009, Visualizing higher-layer features of a deep network (the norm);
        Olah, Mordvintsev & Schubert, 2017, Feature visualization, Distill (Fourier, "Preconditioning").
    """

    shape: Sequence[int]
    pixels: PixelRange
    bound: str = "range"
    fourier: bool = False
    mask: np.ndarray | None = None

    def __post_init__(self) -> None:
        if self.bound not in BOUNDS:
            raise ValueError(f"The bound must be one of {', '.join(BOUNDS)}. Got {self.bound!r}.")
        if self.fourier and len(self.shape) != 3:
            raise ValueError(f"A Fourier parameterisation is for images. Got inputs of shape {tuple(self.shape)}.")

    def initial(self, seed: int, units: Sequence[int], copies: int) -> np.ndarray:
        """Noise, float32 (units * copies, ...): of each unit its own, whichever others are there."""
        shape = self._spectrum_shape() if self.fourier else tuple(self.shape)
        drawn = [
            np.random.default_rng([seed, unit, copy]).normal(0, NOISE, shape)
            for unit in units
            for copy in range(copies)
        ]
        return np.stack(drawn).astype(np.float32)

    def images(self, u: tf.Tensor) -> tf.Tensor:
        """Float32 (n, *shape) of parameters (n, ...)."""
        z = self._field(u) if self.fourier else u
        extent, mean = float(self.pixels.extent), self.pixels.mean.astype(np.float32)
        if self.bound == "range":
            share = np.clip((mean - self.pixels.low) / extent, NEAR, 1 - NEAR)
            return self.pixels.low + extent * tf.sigmoid(z + np.log(share / (1 - share)).astype(np.float32))
        if self.bound == "none":
            return mean + extent * z
        mask = np.ones(self.shape[:-1]) if self.mask is None else self.mask
        z = z * tf.constant(mask[..., None], tf.float32)
        axes = list(range(1, len(self.shape) + 1))
        norm = self.pixels.norm * float(np.sqrt(mask.mean()))
        return mean + norm * z / tf.sqrt(tf.reduce_sum(tf.square(z), axis=axes, keepdims=True) + 1e-20)

    def _spectrum_shape(self) -> tuple[int, ...]:
        rows, columns, channels = self.shape
        return (2, channels, rows, columns // 2 + 1)

    def _field(self, u: tf.Tensor) -> Any:
        rows, columns, _ = self.shape
        frequency = np.hypot(np.fft.fftfreq(rows)[:, None], np.fft.rfftfreq(columns)[None])
        scale = np.sqrt(rows * columns) / np.maximum(frequency, 1 / max(rows, columns))
        scale = scale / max(rows, columns)  # the lowest frequency moves as a pixel's own parameter would
        spectrum = tf.complex(u[:, 0], u[:, 1]) * scale.astype(np.complex64)
        return tf.transpose(tf.signal.irfft2d(spectrum, [rows, columns]), (0, 2, 3, 1))
