"""The kind of critical point that a gradient and the eigenvalues of a Hessian tell."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

GRADIENT_TOLERANCE = 1e-6  # norm up to which a gradient counts as zero
ZERO_TOLERANCE = 1e-8  # of the largest eigenvalue's magnitude: an eigenvalue up to this counts as zero


@dataclass(frozen=True)
class Verdict:
    """The kind of a point, with the figures that it rests on.

    Args:
        kind: "minimum", "maximum", "saddle", "degenerate" or "not critical".
        alpha: index, the share of negative eigenvalues in [0, 1].
        negative, zero, positive: numbers of eigenvalues.
        gradient_norm: Euclidean.
        gradient_tolerance: largest norm of a critical point.
        zero_below: largest magnitude of an eigenvalue that counts as zero.
    """

    kind: str
    alpha: float
    negative: int
    zero: int
    positive: int
    gradient_norm: float
    gradient_tolerance: float
    zero_below: float

    def row(self) -> dict[str, Any]:
        """Return the figures in the order in which tables show them."""
        return {
            "verdict": self.kind,
            "gradient_norm": self.gradient_norm,
            "alpha": self.alpha,
            "negative": self.negative,
            "zero": self.zero,
            "positive": self.positive,
            "gradient_tolerance": self.gradient_tolerance,
            "zero_below": self.zero_below,
        }


def judge(
    gradient_norm: float,
    eigenvalues: np.ndarray,
    gradient_tolerance: float = GRADIENT_TOLERANCE,
    zero_tolerance: float = ZERO_TOLERANCE,
) -> Verdict:
    """Return the kind of a point by the signs of all eigenvalues.

    Args:
        gradient_norm: Euclidean norm of the gradient there.
        eigenvalues: all of the Hessian, (n,).
        gradient_tolerance: absolute.
        zero_tolerance: relative to max |eigenvalue|.
    Limits: if some eigenvalues are zero and the others have one sign, the second order does not decide: "degenerate".
        Eigenvalues of both signs make a saddle whatever the others are.
    Reference: lecture slides 61 and 62; Dauphin et al., 2014 (alpha).
    """
    values = np.asarray(eigenvalues, np.float64)
    zero_below = zero_tolerance * float(np.abs(values).max(initial=0.0))
    negative, positive = int((values < -zero_below).sum()), int((values > zero_below).sum())
    zero = values.size - negative - positive
    if not gradient_norm <= gradient_tolerance:
        kind = "not critical"
    elif negative and positive:
        kind = "saddle"
    elif zero:
        kind = "degenerate"
    else:
        kind = "minimum" if positive else "maximum"
    alpha = negative / max(values.size, 1)
    return Verdict(kind, alpha, negative, zero, positive, gradient_norm, gradient_tolerance, zero_below)
