"""Linear regression with a penalty on absolute values, by gradient and proximal steps: zeros are zeros."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from dltool.training.procedures._linear import LinearFit, shape_targets

USES_OPTIMIZER = False


class ProximalGradient(LinearFit):
    """Iterative soft thresholding (ISTA) of the last layer, a Dense without activation:

        min over W, b of  1 / (2 N) sum over examples of ||W^T phi(x) + b - y||^2 + l1 ||W||_1
        W <- S(W - step * gradient of the squares, step * l1),   S(w, t) = sign(w) max(|w| - t, 0)

    the layers before it being the features phi. The objective is that of scikit-learn's Lasso. The bias is not
    penalised; it is solved exactly, by centring. A gradient of |w| alone would leave every weight a little off 0; the
    threshold S sets weights to 0 exactly. Each epoch does `iterations` of these steps in float64. Training ends when
    the duality gap, which bounds how far the objective is above its minimum, is small enough. History: `objective`,
    `gap` and `nonzero`, the number of weights that are not 0.

    Args:
        l1: penalty on absolute values, > 0.
        iterations: steps an epoch, int > 0. Defaults to 1,000.
        step: length of a step, > 0. Defaults to 1 / L, L being the largest eigenvalue of the features' covariance:
            steps above 2 / L diverge.
        accelerated: whether steps begin from a point beyond the last one (FISTA), restarted where the objective
            would rise. Defaults to False.
        tolerance: the gap at which training ends, a fraction of the objective at W = 0, >= 0. Defaults to 1e-6.
    Raises:
        ValueError: an argument is out of its range, the last layer is no Dense without activation, or the loss is not
            the mean of squares.
    Limits: features are held in memory. The error falls as 1 / steps (accelerated: 1 / steps^2), and slowly where
        features resemble each other. Layers before the last one stay unchanged.
    Reference: Daubechies, Defrise & De Mol, 2004, An iterative thresholding algorithm; Beck & Teboulle, 2009, A fast
        iterative shrinkage-thresholding algorithm, SIAM J. Imaging Sciences 2, 183-202; lecture slide 54.
    """

    def __init__(
        self,
        l1: float,
        iterations: int = 1000,
        step: float | None = None,
        accelerated: bool = False,
        tolerance: float = 1e-6,
    ) -> None:
        super().__init__()
        for name, value in (("l1", l1), ("step", 1.0 if step is None else step)):
            if not _is_number(value) or not 0 < value < math.inf:
                raise ValueError(f"The '{name}' parameter of ProximalGradient must be a number > 0. Got {value!r}.")
        if isinstance(iterations, bool) or not isinstance(iterations, int) or iterations < 1:
            message = "The 'iterations' parameter of ProximalGradient must be an int > 0."
            raise ValueError(f"{message} Got {iterations!r}.")
        if not isinstance(accelerated, bool):
            message = "The 'accelerated' parameter of ProximalGradient must be true or false."
            raise ValueError(f"{message} Got {accelerated!r}.")
        if not _is_number(tolerance) or not 0 <= tolerance < math.inf:
            message = "The 'tolerance' parameter of ProximalGradient must be a number >= 0."
            raise ValueError(f"{message} Got {tolerance!r}.")
        self.l1, self.iterations, self.step = float(l1), iterations, step
        self.accelerated, self.tolerance = accelerated, tolerance

    def own_arrays(self) -> dict[str, np.ndarray]:
        return {"kernel": self._kernel.copy(), "beyond": self._beyond.copy(), "momentum": np.asarray(self._momentum)}

    def go_on(self, arrays: Mapping[str, np.ndarray]) -> None:
        self._kernel, self._beyond = arrays["kernel"].copy(), arrays["beyond"].copy()
        self._momentum = float(arrays["momentum"])

    def remarks(self) -> list[str]:
        """Return how many weights are 0, and whether the objective is at its minimum."""
        zeros = self._kernel.size - int(np.count_nonzero(self._kernel))
        text = f"{zeros} of {self._kernel.size} weights are 0, with a duality gap of {self._gap:.2g}"
        if self._gap <= self._enough:
            return [f"{text}."]
        return [f"{text}, above {self._enough:.2g}: raise fit.epochs, or set accelerated: true."]

    def _renew(self) -> None:
        super()._renew()
        assert self.last is not None
        features, targets = self.last.collect(self._train)
        self._problem = Lasso(features, shape_targets(targets, self.last.layer.units), self.last.layer.use_bias)
        self._kernel = self._beyond = self._weights()
        self._momentum = 1.0
        self._step = self.step or 1 / max(self._problem.curvature, np.finfo(float).tiny)
        self._objective = self._gap = math.nan
        self._enough = self.tolerance * self._problem.at_zero

    def _columns(self) -> dict[str, float]:
        return {"objective": self._objective, "gap": self._gap, "nonzero": int(np.count_nonzero(self._kernel))}

    def _fit_epoch(self) -> float:
        problem = self._problem
        for _ in range(self.iterations):
            moved = threshold(self._beyond - self._step * problem.gradient(self._beyond), self._step * self.l1)
            if self.accelerated:
                self._accelerate(moved)
            else:
                self._beyond = moved
            self._kernel = moved
        self._objective, self._gap = problem.objective(self._kernel, self.l1), problem.gap(self._kernel, self.l1)
        self._write(self._kernel, problem.bias(self._kernel))
        self.model.stop_training |= self._gap <= self._enough
        return 2 * problem.half_mean_square(self._kernel) / self._kernel.shape[1]

    def _accelerate(self, moved: np.ndarray) -> None:
        """Set where the next step begins: beyond the point that this one reached."""
        if np.sum((self._beyond - moved) * (moved - self._kernel)) > 0:  # O'Donoghue & Candes, 2015: restart
            self._momentum = 1.0
        following = (1 + math.sqrt(1 + 4 * self._momentum**2)) / 2
        self._beyond = moved + (self._momentum - 1) / following * (moved - self._kernel)
        self._momentum = following


class Lasso:
    """Squares of N examples, centred if there is a bias, as products of features and targets.

    Args:
        features: float64 (N, features).
        targets: float64 (N, units).
        use_bias: whether a bias is solved for.
    """

    def __init__(self, features: np.ndarray, targets: np.ndarray, use_bias: bool) -> None:
        count = len(features)
        self._means = features.mean(axis=0) * use_bias, targets.mean(axis=0) * use_bias
        features, targets = features - self._means[0], targets - self._means[1]
        self._gram, self._moments = features.T @ features / count, features.T @ targets / count
        self._square = np.sum(targets**2, axis=0) / count  # (units,)
        finite = np.isfinite(self._gram).all() and np.isfinite(self._moments).all()
        self.curvature = float(np.linalg.eigvalsh(self._gram)[-1]) if finite else math.nan
        self.at_zero = float(self._square.sum()) / 2

    def gradient(self, kernel: np.ndarray) -> np.ndarray:
        """Return the gradient of the half mean of squares, (features, units)."""
        return self._gram @ kernel - self._moments

    def half_mean_square(self, kernel: np.ndarray) -> float:
        """Return 1 / (2 N) times the sum of squared errors."""
        return float(np.sum(self._squares(kernel))) / 2

    def objective(self, kernel: np.ndarray, l1: float) -> float:
        """Return what is minimised."""
        return self.half_mean_square(kernel) + l1 * float(np.abs(kernel).sum())

    def gap(self, kernel: np.ndarray, l1: float) -> float:
        """Return an upper bound of how far the objective is above its minimum, by a point of the dual problem.

        The residuals, scaled until no feature correlates with them by more than l1, are such a point (N theta = s r).
        """
        largest = np.abs(self.gradient(kernel)).max(axis=0)
        scale = np.minimum(1, l1 / np.maximum(largest, np.finfo(float).tiny))
        with_targets = self._square - np.sum(kernel * self._moments, axis=0)  # y . r / N
        dual = scale * with_targets - scale**2 * self._squares(kernel) / 2
        return self.objective(kernel, l1) - float(dual.sum())

    def bias(self, kernel: np.ndarray) -> np.ndarray:
        """Return the best bias for a kernel, (units,)."""
        return np.asarray(self._means[1] - self._means[0] @ kernel)

    def _squares(self, kernel: np.ndarray) -> np.ndarray:
        """Return the mean squared error of each unit, (units,)."""
        return self._square + np.sum(kernel * (self._gram @ kernel - 2 * self._moments), axis=0)


def threshold(weights: np.ndarray, by: float) -> np.ndarray:
    """Return weights moved towards 0 by a distance, and 0 where they are nearer."""
    return np.sign(weights) * np.maximum(np.abs(weights) - by, 0)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
