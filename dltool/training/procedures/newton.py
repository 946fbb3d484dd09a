"""Newton's method, which is drawn to critical points of any kind."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dltool.training.procedures._eigen_steps import EigenSteps

USES_OPTIMIZER = False
GOALS = ("critical point", "loss")


class Newton(EigenSteps):
    """Newton's method: w <- w - a (H + d I)^-1 g, with the Hessian H and its pseudo-inverse where it is flat.

    It finds critical points of any kind: minima, maxima and saddle points attract it alike. By default a step has to
    lower the norm of the gradient, and is halved until it does: a way to locate critical points. With
    `lowers: loss` a step has to lower the loss: with dampings this is damped Newton, which a saddle still attracts,
    and which ends where no damping leads downhill. An epoch is one iteration over all training data. The history has
    the columns step_length (a), damping, negative_share (of eigenvalues: the index of a critical point) and
    gradient_norm.

    Args:
        damping: d, a number >= 0 or a list of them: all are tried and the best is taken. Halved steps take the first.
        lowers: "critical point" or "loss": what a step has to lower, the gradient's norm or the loss.
        exact_weights: up to so many weights all eigenvectors count, int > 0.
        rank: beyond, the dimension of the gradient's Krylov subspace, int > 0.
        gradient_tolerance: training ends at this Euclidean norm of the gradient.
        batch_size: examples computed at once; results depend on it by rounding only. Defaults to what fits.
    Raises:
        ValueError: an argument is out of range; on preparation, dropout, batch normalisation or another layer whose
            training loss is no function of the weights.
    Limits: do not train nets with it: it climbs to saddle points, which is its use here. An iteration costs
        weights / 64 passes over the data, or `rank` of them. Small gradients need dtype_policy: float64.
    Reference: lecture slide 81; Dauphin et al., 2014, Identifying and attacking the saddle point problem.
    """

    def __init__(
        self,
        damping: Sequence[float] | float = 0.0,
        lowers: str = "critical point",
        exact_weights: int = 5000,
        rank: int = 100,
        gradient_tolerance: float = 1e-5,
        batch_size: int | None = None,
    ) -> None:
        super().__init__(damping, exact_weights, rank, gradient_tolerance, batch_size)
        if lowers not in GOALS:
            wanted = " or ".join(f"'{goal}'" for goal in GOALS)
            raise ValueError(f"The 'lowers' parameter of Newton must be {wanted}. Got {lowers!r} instead.")
        self.lowers = lowers
        self.merit = "the gradient's norm" if lowers == GOALS[0] else "the loss"

    def _scale(self, values: np.ndarray, damping: float) -> np.ndarray:
        return values + damping

    def _rate(self) -> float:
        if self.lowers == "loss":
            return self.objective.value()
        return float(np.linalg.norm(self.objective.value_and_gradient()[1]))

    def _now(self) -> float:
        return self.value if self.lowers == "loss" else self.norm
