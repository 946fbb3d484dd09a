"""Elastic distortion of images."""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np
from keras import ops

from dltool.library.layers._bilinear import sample

TRUNCATE = 4.0  # standard deviations at which the Gaussian is cut off, as scipy.ndimage.gaussian_filter


@keras.saving.register_keras_serializable("dltool")
class ElasticDistortion(keras.layers.Layer):
    """Distorts each training image by a smooth random field, and by a random rotation, scaling and shift with it.

        u = alpha * (G_sigma * n),  n uniform in [-1, 1] for each pixel and axis
        y(p) = x(c + diag(z) R (p - c) + t + u(p)),  c the image's centre

    where R turns by an angle uniform in [-rotation, rotation], z is uniform in [1 - scaling, 1 + scaling] and t in
    [-translation, translation] for each axis, all redrawn for each image. The image is interpolated once
    (bilinear), so that it is no more blurred than by one of these alone. At inference it stays unchanged.

    Args:
        alpha: strength of the field, in pixels before the smoothing, >= 0. The smoothed field has a standard deviation
            of about alpha * 0.16 / sigma pixels: 1 pixel for the defaults.
        sigma: standard deviation of the Gaussian in pixels, > 0; it is cut off at 4 sigma, and the noise
            is 0 beyond the border.
        rotation: degrees, >= 0.
        scaling: fraction, in [0, 1).
        translation: pixels, >= 0.
        fill_value: of pixels from beyond the border.
        seed: an int, or None for one of the run's.
    Input shape: (batch, rows, columns, channels), any channels, any range of values.   Output shape: the same.
    Raises:
        ValueError: if an argument is out of its range.
    Limits: labels must not depend on the small changes; a 6 turned too far is a 9.
    Reference: Simard, Steinkraus & Platt, 2003, Best practices for convolutional neural networks applied to visual
        document analysis, section 2; Ciresan, Meier & Schmidhuber, 2012, Multi-column deep neural networks.
    """

    moves_pixels = True  # so that masks would have to move alike

    def __init__(
        self,
        alpha: float = 36.0,
        sigma: float = 6.0,
        rotation: float = 0.0,
        scaling: float = 0.0,
        translation: float = 0.0,
        fill_value: float = 0.0,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        for name, value in (("alpha", alpha), ("rotation", rotation), ("translation", translation)):
            _check(name, value, value >= 0, ">= 0")
        _check("sigma", sigma, sigma > 0, "> 0")
        _check("scaling", scaling, 0 <= scaling < 1, "in [0, 1)")
        self.alpha, self.sigma = float(alpha), float(sigma)
        self.rotation, self.scaling, self.translation = float(rotation), float(scaling), float(translation)
        self.fill_value, self.seed = float(fill_value), seed
        self.seed_generator = keras.random.SeedGenerator(seed)
        self.input_spec = keras.layers.InputSpec(ndim=4)

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        if not training:
            return inputs
        batch, rows, columns, _ = ops.shape(inputs)
        noise = keras.random.uniform((batch, 2, columns, rows), -1, 1, dtype="float32", seed=self.seed_generator)
        amounts = keras.random.uniform((batch, 5), -1, 1, dtype="float32", seed=self.seed_generator)
        positions = self.affine(amounts, rows, columns) + self.alpha * smoothed(noise, self.sigma)
        distorted = sample(ops.cast(inputs, "float32"), ops.transpose(positions, (0, 2, 3, 1)), self.fill_value)
        return ops.cast(ops.reshape(distorted, ops.shape(inputs)), inputs.dtype)

    def affine(self, amounts: Any, rows: int, columns: int) -> Any:
        """Return c + diag(z) R (p - c) + t for each pixel p: (batch, 2, rows, columns), rows before columns.

        Args:
            amounts: uniform in [-1, 1], (batch, 5): of the angle, of z and t for each axis.
        """
        angle = math.radians(self.rotation) * amounts[:, 0, None, None]
        z = 1 + self.scaling * amounts[:, 1:3, None, None]
        t = self.translation * amounts[:, 3:5, None, None]
        middle = ((rows - 1) / 2, (columns - 1) / 2)
        r = ops.reshape(ops.arange(rows, dtype="float32") - middle[0], (1, -1, 1))
        c = ops.reshape(ops.arange(columns, dtype="float32") - middle[1], (1, 1, -1))
        turned = (ops.cos(angle) * r - ops.sin(angle) * c, ops.sin(angle) * r + ops.cos(angle) * c)
        moved = [middle[n] + z[:, n] * turned[n] + t[:, n] for n in (0, 1)]  # each (batch, rows, columns)
        return ops.stack(moved, axis=1)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        names = ("alpha", "sigma", "rotation", "scaling", "translation", "fill_value", "seed")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}


def smoothed(noise: Any, sigma: float) -> Any:
    """Noise (..., columns, rows) smoothed by a Gaussian along both axes: (..., rows, columns), zero beyond its border.

    Each axis is one product with a matrix, a few thousand multiply-adds a row: less than a convolution's overhead.
    """
    along_rows = ops.tensordot(noise, gaussian_matrix(noise.shape[-1], sigma), 1)  # (..., columns, rows)
    return ops.tensordot(ops.swapaxes(along_rows, -1, -2), gaussian_matrix(noise.shape[-2], sigma), 1)


def gaussian_matrix(size: int, sigma: float) -> np.ndarray:
    """Return the symmetric matrix that smooths a vector of this size: float32 (size, size)."""
    radius = int(TRUNCATE * sigma + 0.5)
    kernel = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    distance = np.abs(np.arange(size)[:, None] - np.arange(size))
    weights = np.exp(-0.5 * (distance / sigma) ** 2) / kernel.sum()
    return np.where(distance <= radius, weights, 0).astype(np.float32)


def _check(name: str, value: float, good: bool, wanted: str) -> None:
    if not good:
        raise ValueError(f"The '{name}' parameter of ElasticDistortion must be a number {wanted}. Got {value!r}.")
