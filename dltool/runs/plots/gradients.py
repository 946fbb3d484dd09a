"""The gradients of squared error and cross-entropy on the worst classified sample, and both losses' landscapes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from dltool.runs.plots import Options, _linear, titles

if TYPE_CHECKING:
    from dltool.output.plots.gradients import Surface
    from dltool.runs.opened import OpenedRun

TAKES = ()
PLACES = 121  # of a landscape, in each direction
APART = 0.75  # starts of the search for critical points
MOST_STARTS = 41  # in each direction
FLAT = 1e-6  # an eigenvalue of the Hessian below this counts as 0: a plateau is no critical point


def draw(runs: Sequence[OpenedRun], options: Options, file: BinaryIO, form: str) -> list[dict[str, Any]]:
    """Draw each run's gradients and, for two weights, landscapes; return both gradients of its worst sample."""
    from dltool.output.plots.gradients import Gradients, plot_gradients

    drawn, table = [], []
    for run, title in zip(runs, titles(runs), strict=True):
        found = _linear.read(run, "gradients")
        margins = found.signs * (found.features @ found.weights)
        worst = int(margins.argmin())
        target = int(found.signs[worst] > 0)
        squared, crossed = (
            gradient(found.weights, found.features[[worst]], np.array([target]), loss) for loss in (SQUARED, CROSS)
        )
        surfaces = _surfaces(found) if len(found.weights) == 2 else []
        drawn.append(Gradients(title, float(margins[worst]), found.names, found.weights, surfaces))
        table.append(
            {
                "run": str(run),
                "sample": worst,
                "target": target,
                "score": float(margins[worst] * found.signs[worst]),
                "squared_error_gradient": float(np.linalg.norm(squared)),
                "cross_entropy_gradient": float(np.linalg.norm(crossed)),
                "squared_error_saddles": surfaces[0].count("saddle") if surfaces else None,
                "cross_entropy_saddles": surfaces[1].count("saddle") if surfaces else None,
            }
        )
    plot_gradients(drawn, file, form)
    return table


SQUARED, CROSS = "squared error", "cross-entropy"


def loss_at(weights: np.ndarray, features: np.ndarray, targets: np.ndarray, loss: str) -> np.ndarray:
    """Return the mean of (q - y)^2 / 2, or of -y ln q - (1 - y) ln(1 - q), q = sigmoid(w . x), for each row of weights.

    Args:
        weights: (n, weights).
        features: (samples, weights).
        targets: (samples,), 0 and 1.
    """
    from scipy.special import expit

    scores = weights @ features.T
    each = (expit(scores) - targets) ** 2 / 2 if loss == SQUARED else np.logaddexp(0, scores) - targets * scores
    found: np.ndarray = np.mean(each, axis=-1)
    return found


def gradient(weights: np.ndarray, features: np.ndarray, targets: np.ndarray, loss: str) -> np.ndarray:
    """Return the gradient of `loss_at` for one vector of weights: mean of (q - y) x, times q (1 - q) if squared."""
    from scipy.special import expit

    outputs = expit(features @ weights)
    errors = outputs - targets
    slopes = errors * outputs * (1 - outputs) if loss == SQUARED else errors
    found: np.ndarray = np.mean(slopes[:, np.newaxis] * features, axis=0)
    return found


def hessian(weights: np.ndarray, features: np.ndarray, targets: np.ndarray, loss: str) -> np.ndarray:
    """Return the Hessian of `loss_at` for one vector of weights."""
    from scipy.special import expit

    outputs = expit(features @ weights)
    slopes = outputs * (1 - outputs)
    curvatures = slopes * (slopes + (outputs - targets) * (1 - 2 * outputs)) if loss == SQUARED else slopes
    found: np.ndarray = (features * curvatures[:, np.newaxis]).T @ features / len(features)
    return found


def find_critical_points(
    features: np.ndarray, targets: np.ndarray, loss: str, reach: float
) -> list[tuple[np.ndarray, str]]:
    """Return the points within +-reach where the gradient is 0, each with "minimum", "saddle" or "maximum"."""
    from scipy.optimize import root

    found: list[tuple[np.ndarray, str]] = []
    starts = np.linspace(-reach, reach, min(int(2 * reach / APART) + 1, MOST_STARTS))
    for start in np.stack(np.meshgrid(starts, starts), axis=-1).reshape(-1, 2):
        with np.errstate(all="ignore"):
            end = root(gradient, start, (features, targets, loss), jac=hessian, tol=1e-13)
        eigenvalues = np.linalg.eigvalsh(hessian(end.x, features, targets, loss))
        is_new = all(np.linalg.norm(end.x - point) > 1e-4 * reach for point, _ in found)
        is_flat = np.abs(eigenvalues).min() < FLAT or np.linalg.norm(gradient(end.x, features, targets, loss)) > 1e-9
        if end.success and np.abs(end.x).max() <= reach and is_new and not is_flat:
            kind = "minimum" if eigenvalues[0] > 0 else "maximum" if eigenvalues[1] < 0 else "saddle"
            found.append((end.x, kind))
    return found


def _surfaces(found: _linear.LinearClassifier) -> list[Surface]:
    """Return the landscapes of both losses over the two weights, each with its critical points."""
    from dltool.output.plots.gradients import Surface

    targets = (found.signs > 0).astype(float)
    reach = 1.5 * max(float(np.abs(found.weights).max()), 4.0)
    axis = np.linspace(-reach, reach, PLACES)
    plane = np.stack(np.meshgrid(axis, axis), axis=-1)  # (up, across, 2)
    surfaces = []
    for loss in (SQUARED, CROSS):
        heights = loss_at(plane.reshape(-1, 2), found.features, targets, loss).reshape(PLACES, PLACES)
        points = find_critical_points(found.features, targets, loss, reach)
        name = "half the mean squared error" if loss == SQUARED else "mean cross-entropy"
        surfaces.append(Surface(name, axis, heights, points))
    return surfaces
