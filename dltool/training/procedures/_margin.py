"""The largest margin by which a hyperplane through the origin separates points, and so whether one does."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Margin(NamedTuple):
    """The geometry of points in Novikoff's theorem.

    Args:
        radius: R, the largest norm of a point.
        gamma: the largest margin of a unit vector, min over points of u . x; 0 where none separates them.
    """

    radius: float
    gamma: float


def find_margin(points: np.ndarray) -> Margin | None:
    """Return the largest margin of points (count, features), each times its sign +1 or -1; None if not found.

    The shortest u with points @ u >= 1 has the length 1 / gamma. It is a least distance problem, whose dual is a
    non-negative least squares problem; that there is no such u shows in a residual of 0.

    Reference: Lawson & Hanson, 1974, Solving least squares problems, chapter 23 (LDP); Novikoff, 1962, On convergence
        proofs on perceptrons (the bound).
    """
    from scipy.optimize import nnls

    radius = float(np.linalg.norm(points, axis=1).max())
    if radius == 0:
        return Margin(0.0, 0.0)
    scaled = points / radius
    rows = np.vstack([scaled.T, np.ones(len(points))])  # (features + 1, count)
    goal = np.append(np.zeros(points.shape[1]), 1.0)
    try:
        weights = nnls(rows, goal)[0]
    except RuntimeError:  # too many iterations
        return None
    residual = rows @ weights - goal
    direction = -residual[:-1] * np.sign(residual[-1])
    if not np.any(direction):
        return Margin(radius, 0.0)
    margin = float((points @ direction).min() / np.linalg.norm(direction))
    return Margin(radius, margin if margin > 1e-9 * radius else 0.0)
