"""Moments of an activation function of a Gaussian variable."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

GRID = 64  # variances at which a curve is integrated, between them interpolated
POINTS, REACH = 2048, 9.0  # midpoints over so many sd either way; the Gaussian's weight beyond is 2e-19


class GaussianMoments:
    """E f(z), E f(z)^2 and E f'(z)^2 of z ~ N(mean, variance).

    In closed form for piecewise linear f of one kink at zero (linear, ReLU, leaky ReLU; mean 0), where with slopes a
    below and 1 above zero: E f = (1 - a) sqrt(variance / (2 pi)), E f^2 = variance (1 + a^2) / 2, E f'^2 = (1 + a^2)
    / 2. Else by the midpoint rule, which is exact to rounding for smooth f and to 1e-3 for the slopes of kinked ones.

    Args:
        function: an elementwise activation, on tensors.
    Raises:
        ValueError: the function is not elementwise, such as softmax.
    Reference: He et al. 2015, eq. 7-14 for ReLU; Poole et al. 2016, eq. 3 for any f.
    """

    def __init__(self, function: Callable[[Any], Any]) -> None:
        probe = np.linspace(-3, 3, 7, dtype=np.float32)
        values = _apply(function, probe)
        if values.shape != probe.shape or not np.allclose(_apply(function, probe[:3]), values[:3], equal_nan=True):
            raise ValueError("the activation is not elementwise")
        self.function = function
        slope = values[0] / probe[0]
        kinked = np.where(probe < 0, slope * probe, probe)
        self.slope = float(slope) if np.allclose(values, kinked, atol=1e-6) and np.allclose(
            _apply(function, 100 * probe), 100 * kinked, atol=1e-4
        ) else None  # fmt: skip
        step = 2 * REACH / POINTS
        self._z = -REACH + step * (np.arange(POINTS) + 0.5)
        self._weight = step * np.exp(-(self._z**2) / 2) / math.sqrt(2 * math.pi)

    def __call__(self, variance: np.ndarray, mean: np.ndarray | float = 0.0) -> tuple[np.ndarray, ...]:
        """E f, E f^2 and E f'^2 for arrays of variances and means.

        Limits: where means differ from zero and from each other, all are taken to be their average.
        """
        variance = np.maximum(np.asarray(variance, np.float64), 0.0)
        centre = float(np.mean(mean))
        if self.slope is not None and np.all(np.asarray(mean) == 0):
            square = (1 + self.slope**2) / 2
            kink = (1 - self.slope) / math.sqrt(2 * math.pi)
            return kink * np.sqrt(variance), square * variance, np.full_like(variance, square)
        low, high = float(variance.min()), float(variance.max())
        points = np.linspace(math.sqrt(low), math.sqrt(high), GRID if high > low * (1 + 1e-9) + 1e-300 else 1)
        curves = self._integrals(points, centre)
        if len(points) == 1:
            return tuple(np.full_like(variance, curve[0]) for curve in curves)
        return tuple(np.interp(np.sqrt(variance), points, curve) for curve in curves)

    def _integrals(self, deviations: np.ndarray, centre: float) -> tuple[np.ndarray, ...]:
        z = tf.constant(centre + deviations[:, None] * self._z)  # (deviations, nodes)
        with tf.GradientTape() as tape:
            tape.watch(z)
            f = self.function(z)
        slope = tape.gradient(f, z)
        f = np.asarray(f, np.float64)
        slope = np.zeros_like(f) if slope is None else np.asarray(slope, np.float64)
        return f @ self._weight, f**2 @ self._weight, slope**2 @ self._weight


def _apply(function: Callable[[Any], Any], x: np.ndarray) -> np.ndarray:
    return np.asarray(function(tf.constant(x)))
