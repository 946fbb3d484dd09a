"""Conjugate gradients on a quadratic, preconditioned and ended early, as Hessian-free optimization needs them."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

TOLERANCE = 5e-4  # of the progress per iteration, relative to all so far
SPACING = 1.3  # iterates are kept at iterations 1.3^k


class Iterate(NamedTuple):
    """A point on the way: after how many iterations, p, and q(p)."""

    iteration: int
    point: np.ndarray
    value: float


def minimize_quadratic(
    product: Callable[[np.ndarray], np.ndarray],
    linear: np.ndarray,
    start: np.ndarray,
    preconditioner: np.ndarray,
    most: int,
) -> list[Iterate]:
    """Return points on the way to the minimum of q(p) = p' A p / 2 - b' p; the last is the best.

    It ends where the last k = max(10, i / 10) iterations gained less than k * 5e-4 of what all i gained.

    Args:
        product: v -> A v, with A positive definite.
        linear: b, (n,).
        start: p to begin with, (n,).
        preconditioner: the diagonal of a matrix like A, > 0, (n,).
        most: iterations, int > 0.
    Reference: Martens, 2010, Deep learning via Hessian-free optimization, sections 4.4 and 4.7.
    """
    p = start.copy()
    residual = linear - (product(p) if p.any() else 0)  # b - A p
    scaled = residual / preconditioner
    direction, squared = scaled.copy(), float(residual @ scaled)
    values = [-0.5 * float(p @ (linear + residual))]  # q(p) = -p (b + r) / 2
    kept: list[Iterate] = []
    wanted = 1.0
    for i in range(1, most + 1):
        image = product(direction)
        bend = float(direction @ image)
        if not bend > 0 or not math.isfinite(bend):  # flat to rounding, or not finite
            break
        length = squared / bend
        p = p + length * direction
        residual = residual - length * image
        values.append(-0.5 * float(p @ (linear + residual)))
        k = max(10, i // 10)
        ends = i > k and values[-1] < 0 and (values[-1] - values[-1 - k]) / values[-1] < k * TOLERANCE
        if i >= wanted or ends or i == most:
            kept.append(Iterate(i, p, values[-1]))
            wanted = max(math.ceil(wanted * SPACING), i + 1)
        if ends:
            break
        scaled = residual / preconditioner
        squared, before = float(residual @ scaled), squared
        direction = scaled + squared / before * direction
    return kept
