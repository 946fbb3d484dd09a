"""Steps along a direction that satisfy the strong Wolfe conditions, by SciPy's search."""

from __future__ import annotations

import warnings
from typing import NamedTuple

import numpy as np

from dltool.training.objective import Objective

SUFFICIENT = 1e-4  # c1: the share of the decrease that the slope promises


class Found(NamedTuple):
    """A step: its length, the weights after it, J and its gradient there, and how often both were computed."""

    length: float
    weights: np.ndarray
    value: float
    gradient: np.ndarray
    evaluations: int


class Line:
    """J(w + a p) as a function of a, with its gradient; the last values are kept.

    Args:
        weights, direction: w and p, (weights,).
        value, gradient: of J at w.
    """

    def __init__(
        self, objective: Objective, weights: np.ndarray, direction: np.ndarray, value: float, gradient: np.ndarray
    ) -> None:
        self.objective, self.weights, self.direction = objective, weights, direction
        self.value, self.gradient, self.evaluations = value, gradient, 0
        self.slope = float(gradient @ direction)
        self._last: tuple[np.ndarray, float, np.ndarray] | None = None

    def at(self, length: float) -> Found:
        """Return the step of a length, whatever it leads to; its weights are those that the model can hold."""
        value, gradient = self._both(self.weights + length * self.direction)
        return Found(length, self.objective.weights, value, gradient, self.evaluations)

    def suits(self, step: Found, curvature: float) -> bool:
        """Return whether a step satisfies the strong Wolfe conditions with c2 = `curvature`."""
        enough = step.value <= self.value + SUFFICIENT * step.length * self.slope
        return enough and abs(float(step.gradient @ self.direction)) <= -curvature * self.slope

    def search(self, curvature: float, previous: float) -> Found | None:
        """Return a step that satisfies the strong Wolfe conditions, None if none was found.

        Args:
            curvature: c2, between 1e-4 and 1.
            previous: J one iteration ago, which the first length tried depends on.
        """
        from scipy.optimize import line_search

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that it does not converge is said by its result
            length = line_search(
                lambda w: self._both(w)[0],
                lambda w: self._both(w)[1],
                self.weights,
                self.direction,
                self.gradient,
                self.value,
                previous,
                c1=SUFFICIENT,
                c2=curvature,
                maxiter=20,
            )[0]
        found = None if length is None else self.at(length)
        return found if found is not None and found.value < self.value else None

    def _both(self, weights: np.ndarray) -> tuple[float, np.ndarray]:
        if self._last is None or not np.array_equal(self._last[0], weights):
            value, gradient = self.objective.value_and_gradient(weights)
            self.evaluations += 1
            self._last = weights.copy(), value if np.isfinite(value) else np.inf, gradient
        return self._last[1:]


def first_previous(value: float, gradient: np.ndarray) -> float:
    """Return what to say of J one iteration before the first: then the first step tried moves weights by 1 / |g| * g.

    Reference: SciPy's own choice in `minimize(method="BFGS")`.
    """
    return value + float(np.linalg.norm(gradient)) / 2
