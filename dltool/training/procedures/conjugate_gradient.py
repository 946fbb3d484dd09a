"""Nonlinear conjugate gradient: directions that do not undo each other."""

from __future__ import annotations

import numpy as np

from dltool.training.procedures._line_search import Found, Line, first_previous
from dltool.training.procedures._second_order import SecondOrder

USES_OPTIMIZER = False
CURVATURE = 0.1  # c2 of the strong Wolfe conditions: conjugate directions need exact steps


class ConjugateGradient(SecondOrder):
    """Nonlinear conjugate gradient (Polak and Ribiere): w <- w + a p, then p <- -g + b p.

        b = max(0, g_new (g_new - g) / g g)

    The step a is first the exact one of a quadratic, -g p / (p H p) by one product with the Hessian; if it fails the
    strong Wolfe conditions, a search takes its place. So a quadratic of n weights is solved in n iterations, without a
    Hessian ever being stored. An epoch is one iteration over all training data. The history has the columns
    step_length, evaluations, restarted (1 where the direction is the steepest descent) and gradient_norm.

    Args:
        gradient_tolerance: training ends at this Euclidean norm of the gradient.
        batch_size: examples computed at once; results depend on it by rounding only. Defaults to what fits.
    Raises:
        ValueError: an argument is out of range; on preparation, dropout, batch normalisation or another layer whose
            training loss is no function of the weights.
    Limits: rounding in float32 spoils conjugacy: set dtype_policy: float64 to see n steps. Far from quadratic, LBFGS
        needs fewer iterations.
    Reference: lecture slide 82; Hestenes & Stiefel, 1952; Nocedal & Wright, 2006, Numerical Optimization, section 5.2.
    """

    MEMORY = ("previous", "direction")

    def __init__(self, gradient_tolerance: float = 1e-5, batch_size: int | None = None) -> None:
        super().__init__(gradient_tolerance, batch_size)
        self.previous: float | None = None
        self.direction: np.ndarray | None = None

    def _iterate(self) -> bool:
        weights = self.objective.weights
        direction = -self.gradient if self.direction is None else self.direction
        if direction @ self.gradient >= 0:
            direction = -self.gradient
        restarted = self.direction is None or not np.array_equal(direction, self.direction)
        line = Line(self.objective, weights, direction, self.value, self.gradient)
        found = self._step(line)
        if found is None and not restarted:
            restarted, direction = True, -self.gradient
            line = Line(self.objective, weights, direction, self.value, self.gradient)
            found = self._step(line)
        if found is None:
            self.objective.weights = weights
            return False
        b = float(found.gradient @ (found.gradient - self.gradient)) / float(self.gradient @ self.gradient)
        self.direction = -found.gradient + max(b, 0.0) * direction
        self.previous, self.value, self.gradient = self.value, found.value, found.gradient
        counts = {"evaluations": line.evaluations, "restarted": int(restarted)}
        self.columns = {"step_length": found.length, **counts}
        return True

    def _step(self, line: Line) -> Found | None:
        bend = float(line.direction @ self.objective.hessian_product(line.direction, line.weights))
        if bend > 0:
            exact = line.at(-line.slope / bend)
            if line.suits(exact, CURVATURE):
                return exact
        previous = first_previous(self.value, self.gradient) if self.previous is None else self.previous
        return line.search(CURVATURE, previous)
