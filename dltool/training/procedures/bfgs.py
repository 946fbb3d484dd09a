"""BFGS: quasi-Newton steps by a full approximation of the inverse Hessian."""

from __future__ import annotations

import numpy as np

from dltool.training.procedures._line_search import Line, first_previous
from dltool.training.procedures._second_order import SecondOrder

USES_OPTIMIZER = False
CURVATURE = 0.9  # c2 of the strong Wolfe conditions
MOST_WEIGHTS = 5000  # of which the inverse takes 200 MB


class BFGS(SecondOrder):
    """BFGS: w <- w - a H g, with H an approximation of the inverse Hessian that each step corrects.

        H <- (I - s y' / y s) H (I - y s' / y s) + s s' / y s,    s = change of w,  y = change of the gradient g

    The step length a comes from a strong Wolfe search. An epoch is one iteration over all training data. The history
    has the columns step_length, evaluations and gradient_norm.

    Args:
        gradient_tolerance: training ends at this Euclidean norm of the gradient.
        batch_size: examples computed at once; results depend on it by rounding only. Defaults to what fits.
    Raises:
        ValueError: an argument is out of range; on preparation, dropout, batch normalisation or another layer whose
            training loss is no function of the weights; on training, more than 5,000 weights.
    Limits: H has weights^2 entries, and a state to resume from holds it: use LBFGS for larger nets.
    Reference: lecture slide 82; Nocedal & Wright, 2006, Numerical Optimization, algorithm 6.1.
    """

    MEMORY = ("previous", "inverse")

    def __init__(self, gradient_tolerance: float = 1e-5, batch_size: int | None = None) -> None:
        super().__init__(gradient_tolerance, batch_size)
        self.previous: float | None = None
        self.inverse: np.ndarray | None = None

    def _begin(self) -> None:
        size = self.objective.size
        if size > MOST_WEIGHTS:
            raise ValueError(f"procedure.BFGS: keeps {size:,} x {size:,} numbers for {size:,} weights. Use LBFGS")

    def _iterate(self) -> bool:
        weights = self.objective.weights
        previous = first_previous(self.value, self.gradient) if self.previous is None else self.previous
        direction = -self.gradient if self.inverse is None else -self.inverse @ self.gradient
        line = Line(self.objective, weights, direction, self.value, self.gradient)
        found = line.search(CURVATURE, previous) if line.slope < 0 else None
        if found is None and self.inverse is not None:  # begin again with the steepest descent
            self.inverse = None
            line = Line(self.objective, weights, -self.gradient, self.value, self.gradient)
            found = line.search(CURVATURE, first_previous(self.value, self.gradient))
        if found is None:
            self.objective.weights = weights
            return False
        self._correct(found.weights - weights, found.gradient - self.gradient)
        self.previous, self.value, self.gradient = self.value, found.value, found.gradient
        self.columns = {"step_length": found.length, "evaluations": line.evaluations}
        return True

    def _correct(self, s: np.ndarray, y: np.ndarray) -> None:
        product = float(s @ y)
        if product <= np.finfo(float).eps * float(y @ y):  # no positive curvature along it
            return
        if self.inverse is None:
            self.inverse = np.eye(len(s)) * (product / float(y @ y))  # equation 6.20
        along = self.inverse @ y
        self.inverse += np.outer(s, s) * ((product + float(y @ along)) / product**2)
        self.inverse -= (np.outer(along, s) + np.outer(s, along)) / product
