"""Saddle-free Newton: Newton's step with the magnitudes of the eigenvalues."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dltool.training.procedures._eigen_steps import EigenSteps

USES_OPTIMIZER = False
DAMPING = (1.0, 1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6)  # as in the paper's search


class SaddleFreeNewton(EigenSteps):
    """Saddle-free Newton: w <- w - a (|H| + d I)^-1 g, with |H| = V |L| V' of the Hessian's eigenvalues L.

    A step is scaled by curvature as Newton's is, but goes downhill in directions of negative curvature also: saddle
    points repel it. All dampings are tried and that of the lowest loss is taken. An epoch is one iteration over all
    training data. The history has the columns step_length (a), damping, negative_share (of eigenvalues) and
    gradient_norm.

    Args:
        damping: d, a number >= 0 or a list of them, the most cautious first.
        exact_weights: up to so many weights all eigenvectors count, int > 0.
        rank: beyond, the dimension of the gradient's Krylov subspace, int > 0.
        gradient_tolerance: training ends at this Euclidean norm of the gradient.
        batch_size: examples computed at once; results depend on it by rounding only. Defaults to what fits.
    Raises:
        ValueError: an argument is out of range; on preparation, dropout, batch normalisation or another layer whose
            training loss is no function of the weights.
    Limits: an iteration costs weights / 64 passes over the data and an eigendecomposition, or `rank` passes.
    Reference: lecture slide 82; Dauphin et al., 2014, Identifying and attacking the saddle point problem, algorithm 1.
    """

    def __init__(
        self,
        damping: Sequence[float] | float = DAMPING,
        exact_weights: int = 5000,
        rank: int = 100,
        gradient_tolerance: float = 1e-5,
        batch_size: int | None = None,
    ) -> None:
        super().__init__(damping, exact_weights, rank, gradient_tolerance, batch_size)

    def _scale(self, values: np.ndarray, damping: float) -> np.ndarray:
        return np.abs(values) + damping

    def _rate(self) -> float:
        return self.objective.value()

    def _now(self) -> float:
        return self.value
