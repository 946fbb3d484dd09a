"""Linear regression in closed form, with or without a penalty on the weights."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from dltool.training.procedures._linear import LinearFit, shape_targets

USES_OPTIMIZER = False
VISIBLE = 1e-3  # a relative change of the mean squared error that is reported


class LeastSquares(LinearFit):
    """The last layer, a Dense without activation, fitted in one pass to the smallest sum of squares:

        min over W, b of  sum over examples of ||W^T phi(x) + b - y||^2 + alpha ||W||^2

    the layers before it being the features phi. `alpha` is that of scikit-learn's Ridge, alpha of slide 19 with
    sums for means, and alpha of slide 52 where L is half the sum of squares. The solution is computed in float64, by
    the QR decomposition of (phi, 1, y) batch by batch and the singular values of its triangle: as exact as
    `numpy.linalg.lstsq`, in memory of (features + units)^2 whatever the number of examples. If several solutions are
    equally good, which is reported, it is the shortest. Training ends after this pass.

    Args:
        alpha: penalty on the squares of the weights, >= 0. Defaults to 0.
        penalise_bias: whether the bias is penalised, too, which underfits unless the targets are centred (slide 53).
            Defaults to False.
        tolerance: singular values below this fraction of the largest count as 0, in [0, 1). Defaults to that of
            `numpy.linalg.lstsq`, the features' number times 2.2e-16.
    Raises:
        ValueError: an argument is out of its range, the last layer is no Dense without activation, or the loss is not
            the mean of squares.
    Limits: layers before the last one stay unchanged, also those with weights that are random. The layer keeps its
        weights in its own precision: huge ones of nearly dependent features lose in float32 what they had, which is
        reported; raise alpha or tolerance then.
    Reference: Widrow & Hoff, 1960, Adaptive switching circuits; Hoerl & Kennard, 1970, Ridge regression; lecture
        slides 19 and 52-53.
    """

    def __init__(self, alpha: float = 0.0, penalise_bias: bool = False, tolerance: float | None = None) -> None:
        super().__init__()
        if not _is_number(alpha) or not 0 <= alpha < math.inf:
            raise ValueError(f"The 'alpha' parameter of LeastSquares must be a number >= 0. Got {alpha!r}.")
        if not isinstance(penalise_bias, bool):
            message = "The 'penalise_bias' parameter of LeastSquares must be true or false."
            raise ValueError(f"{message} Got {penalise_bias!r}.")
        if tolerance is not None and (not _is_number(tolerance) or not 0 <= tolerance < 1):
            message = "The 'tolerance' parameter of LeastSquares must be a fraction in [0, 1)."
            raise ValueError(f"{message} Got {tolerance!r}.")
        self.alpha, self.penalise_bias, self.tolerance = float(alpha), penalise_bias, tolerance
        self.solution: Solution | None = None

    def remarks(self) -> list[str]:
        """Return whether the solution is one of several, and whether float32 holds it."""
        found, lines = self.solution, []
        if found is None:
            return []
        if found.rank < found.columns:
            lines.append(
                f"the features have rank {found.rank} of {found.columns}: of infinitely many solutions this is the "
                "shortest. alpha > 0 makes it the only one."
            )
        loss = self._figures.get("loss", found.error)
        if abs(loss - found.error) > VISIBLE * max(found.error, found.variance * 1e-6):
            largest = np.abs(found.kernel).max()
            lines.append(
                f"weights of up to {largest:.2g} are rounded to {self._weights_type()}: the mean squared error of the "
                f"solution is {found.error:.4g}, and {loss:.4g} then. Raise alpha or tolerance."
            )
        return lines

    def _fit_epoch(self) -> float:
        assert self.last is not None
        layer = self.last.layer
        pairs = ((x, shape_targets(y, layer.units)) for x, y in self.last.batches(self._train))
        self.solution = solve(pairs, self.alpha, layer.use_bias, self.penalise_bias, self.tolerance)
        self.model.stop_training = True
        if not math.isfinite(self.solution.error):
            return math.nan
        self._write(self.solution.kernel, self.solution.bias)
        return self.solution.error

    def _weights_type(self) -> Any:
        assert self.last is not None
        return self.last.layer.kernel.dtype


class Solution(NamedTuple):
    """The smallest sum of squares.

    Args:
        kernel: float64 (features, units).
        bias: float64 (units,), 0 without one.
        rank: how many features, the constant one included, are independent.
        columns: how many there are.
        error: the mean squared error; NaN where the data hold no numbers, and then there is no solution.
        variance: the mean square of the targets.
    """

    kernel: np.ndarray
    bias: np.ndarray
    rank: int
    columns: int
    error: float
    variance: float


def solve(
    pairs: Iterable[tuple[np.ndarray, np.ndarray]],
    alpha: float = 0.0,
    use_bias: bool = True,
    penalise_bias: bool = False,
    tolerance: float | None = None,
) -> Solution:
    """Return the smallest sum of squares of batches of features (n, features) and targets (n, units), float64.

    Args:
        alpha, penalise_bias, tolerance: as of `LeastSquares`.
    """
    triangle, count, columns, square = np.zeros((0, 0)), 0, 0, 0.0
    for features, targets in pairs:
        columns = features.shape[1] + use_bias
        rows = np.hstack([features, np.ones((len(features), int(use_bias))), targets])
        triangle = np.asarray(np.linalg.qr(np.vstack([triangle, rows]) if count else rows, mode="r"))
        count, square = count + len(features), square + float(np.sum(targets**2))
    left, right = triangle[:, :columns], triangle[:, columns:]  # ||left w - right|| is that of all rows
    units, features_count = right.shape[1], columns - use_bias
    if not np.isfinite(triangle).all():
        return Solution(np.zeros((features_count, units)), np.zeros(units), 0, columns, math.nan, math.nan)
    penalties = np.sqrt(alpha) * np.eye(columns)
    if use_bias and not penalise_bias:
        penalties[-1] = 0
    system = np.vstack([left, penalties]) if alpha else left
    goal = np.vstack([right, np.zeros((columns, units))]) if alpha else right
    cut = np.finfo(np.float64).eps * max(count, columns) if tolerance is None else tolerance
    weights, _, rank, _ = np.linalg.lstsq(system, goal, rcond=cut)
    error = float(np.sum((left @ weights - right) ** 2)) / (count * units)
    kernel, bias = weights[:features_count], weights[-1] if use_bias else np.zeros(units)
    return Solution(kernel, bias, int(rank), columns, error, square / (count * units))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
