"""The perceptron in the space of a kernel."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from dltool.library.layers.kernel_expansion import KernelExpansion
from dltool.training.procedures import _margin as margins
from dltool.training.procedures._online import OnlineRule

USES_OPTIMIZER = False
KEPT_COLUMNS = 2**24  # numbers of the kernel matrix that are kept: 128 MiB


class KernelPerceptron(OnlineRule):
    """The perceptron learning rule on the dual coefficients of the last layer, a KernelExpansion of one unit.

        a_i <- a_i + y_i   if y_i f(x_i) <= 0, else unchanged;   f(x) = sum over i of a_i k(x_i, x)

    with y = -1 for class 0 and +1 for class 1: the same updates as Perceptron's in the space where k is the scalar
    product, without a bias. Training ends after the first epoch without a mistake; reports and history are those of
    Perceptron, R^2 being the largest k(x, x).

    Args:
        tie: as of Perceptron. Defaults to "mistake".
    Raises:
        ValueError: the last layer is no KernelExpansion of one unit, or targets are no two classes.
    Limits: two classes. Only columns of the kernel matrix are computed in which a mistake was made, but all scores are
        updated then: time is (mistakes x samples). Layers before the last one stay unchanged.
    Reference: Aizerman, Braverman & Rozonoer, 1964, Theoretical foundations of the potential function method in pattern
        recognition learning; lecture slide 18.
    """

    def _check(self, layer: Any) -> None:
        if not isinstance(layer, KernelExpansion) or layer.units != 1:
            kind = type(layer).__name__
            raise ValueError(f"KernelPerceptron fits the last layer, a KernelExpansion of 1 unit. Got {kind}")

    def _begin(self, layer: Any, features: np.ndarray) -> None:
        if len(features) != layer.samples or not np.allclose(features, layer.points, atol=1e-5, equal_nan=True):
            raise ValueError("the layer KernelExpansion was adapted to other samples than those of training")
        self._layer, self._points = layer, features
        self._coefficients = np.asarray(layer.coefficients, np.float64)[:, 0]
        self._columns_known: dict[int, np.ndarray] = {}
        self._scores = np.zeros(len(features))
        for index in map(int, np.flatnonzero(self._coefficients)):
            self._scores += self._coefficients[index] * self._column(index)

    def _score(self, index: int) -> float:
        return float(self._scores[index])

    def _correct(self, index: int) -> None:
        self._coefficients[index] += self._signs[index]
        self._scores += self._signs[index] * self._column(index)

    def _write(self) -> None:
        self._layer.coefficients.assign(self._coefficients[:, np.newaxis])

    def _state(self) -> dict[str, np.ndarray]:
        return {"coefficients": self._coefficients.copy(), "scores": self._scores.copy()}

    def _restore(self, arrays: Mapping[str, np.ndarray]) -> None:
        self._coefficients, self._scores = arrays["coefficients"].copy(), arrays["scores"].copy()

    def _columns(self) -> dict[str, float]:
        return {**super()._columns(), "support": int(np.count_nonzero(self._coefficients))}

    def _find_margins(self) -> list[margins.Margin]:
        kernel = np.asarray(self._layer.compute_kernel(self._points, self._points), np.float64)
        values, vectors = np.linalg.eigh(kernel)
        if values[0] < -1e-6 * values[-1]:
            return []  # no scalar product in any space
        features = vectors * np.sqrt(np.maximum(values, 0))  # features @ features.T = kernel
        found = margins.find_margin(self._signs[:, np.newaxis] * features)
        return [] if found is None else [found]

    def _column(self, index: int) -> np.ndarray:
        """Return k of every sample with one of them, float64 (samples,)."""
        known = self._columns_known.get(index)
        if known is None:
            known = np.asarray(self._layer.compute_kernel(self._points, self._points[index : index + 1]), np.float64)
            known = known[:, 0]
            if (len(self._columns_known) + 1) * len(known) <= KEPT_COLUMNS:
                self._columns_known[index] = known
        return known
