"""Hessian-free optimization: Newton steps on the Gauss-Newton matrix, by conjugate gradients that are cut short."""

from __future__ import annotations

import numpy as np

from dltool.training.procedures._second_order import SecondOrder, check_count, check_number
from dltool.training.procedures._truncated_cg import Iterate, minimize_quadratic

USES_OPTIMIZER = False
RAISED, LOWERED = 3 / 2, 2 / 3  # factors of the damping, by Levenberg and Marquardt's rule
POOR, GOOD = 1 / 4, 3 / 4  # of the decrease that the quadratic promised
SUFFICIENT = 1e-2  # of the decrease that the slope promises, for the step length
SHORTENED = 0.8
SHORTENINGS = 40
REFUSALS = 8  # steps in a row that lead nowhere, after which training ends
EXPONENT = 0.75  # of the preconditioner


class HessianFree(SecondOrder):
    """Hessian-free optimization: w <- w + a p, where p nearly minimizes the damped quadratic

        q(p) = J + g p + p (G + d I) p / 2,    G = J_z' H_z J_z the Gauss-Newton matrix

    by conjugate gradients with products G v alone. The gradient g is of all training data, G of some examples drawn
    for each iteration. Conjugate gradients begin where they ended before, are preconditioned by
    (mean squared gradient + d)^0.75, and end when progress slows; of the points on their way the last that the loss
    confirms is taken. The damping d rises by 3/2 where the loss falls by less than 1/4 of what q promised, and falls by
    2/3 where it falls by more than 3/4. An epoch is one such iteration. The history has the columns step_length (a),
    damping, cg_iterations, taken_iteration, reduction_ratio and gradient_norm.

    Args:
        damping: d at the beginning, in units of the loss / weight^2, > 0.
        curvature_examples: examples that G is of, int > 0; at most all.
        cg_iterations: most iterations of conjugate gradients in a step, int > 0.
        decay: factor of the last p to begin the next conjugate gradients with, in [0, 1].
        gradient_tolerance: training ends at this Euclidean norm of the gradient.
        batch_size: examples computed at once; results depend on it by rounding only. Defaults to what fits.
    Raises:
        ValueError: an argument is out of range; on preparation, dropout, batch normalisation or another layer whose
            training loss is no function of the weights.
    Limits: the loss should be convex in the outputs, and take logits. A few examples for G save time, but conjugate
        gradients then fit them alone.
    Reference: lecture slide 82; Martens, 2010, Deep learning via Hessian-free optimization.
    """

    MEMORY = ("damping", "direction", "refused")

    def __init__(
        self,
        damping: float = 1.0,
        curvature_examples: int = 2048,
        cg_iterations: int = 100,
        decay: float = 0.95,
        gradient_tolerance: float = 1e-5,
        batch_size: int | None = None,
    ) -> None:
        super().__init__(gradient_tolerance, batch_size)
        self.damping = check_number(self, "damping", damping, 1e-12)
        self.curvature_examples = check_count(self, "curvature_examples", curvature_examples)
        self.cg_iterations = check_count(self, "cg_iterations", cg_iterations)
        self.decay = check_number(self, "decay", decay, 0, 1)
        self.direction: np.ndarray | None = None
        self.refused = 0

    def _iterate(self) -> bool:
        weights, number = self.objective.weights, self.position.total_steps
        drawn = np.random.default_rng([self._seed or 0, number]).permutation(self._train.size)
        examples = np.sort(drawn[: self.curvature_examples])
        points = self._solve(examples, number)
        chosen = self._confirmed(points, weights, examples)
        if chosen is None:
            return self._refuse(weights, points)
        slope, length = float(self.gradient @ chosen.point), 1.0
        value = self._value_after(weights, chosen.point)
        ratio = (value - self.value) / chosen.value
        for _ in range(SHORTENINGS):
            if value <= self.value + SUFFICIENT * length * slope:
                break
            length *= SHORTENED
            value = self._value_after(weights, length * chosen.point)
        damping = self.damping
        if not value < self.value:
            return self._refuse(weights, points)
        self._adapt(ratio)
        self.refused, self.direction = 0, points[-1].point
        self.value, self.gradient = self._evaluate()
        self.columns = {
            "step_length": length,
            "damping": damping,
            "cg_iterations": points[-1].iteration,
            "taken_iteration": chosen.iteration,
            "reduction_ratio": ratio,
        }
        return True

    def _solve(self, examples: np.ndarray, number: int) -> list[Iterate]:
        objective, damping = self.objective, self.damping
        squares = objective.squared_gradients(examples, number)
        start = np.zeros(objective.size) if self.direction is None else self.decay * self.direction

        def product(vector: np.ndarray) -> np.ndarray:
            return objective.gauss_newton_product(vector, None, examples) + damping * vector

        preconditioner = (squares + damping) ** EXPONENT
        return minimize_quadratic(product, -self.gradient, start, preconditioner, self.cg_iterations)

    def _confirmed(self, points: list[Iterate], weights: np.ndarray, examples: np.ndarray) -> Iterate | None:
        """Return the last point before which the loss of the examples does not fall any more on the way back."""
        chosen, lowest = None, np.inf
        for point in reversed(points):
            value = self.objective.value(weights + point.point, examples)
            if chosen is not None and not value < lowest:
                break
            if np.isfinite(value):
                chosen, lowest = point, value
        return chosen if chosen is not None and chosen.value < 0 else None

    def _value_after(self, weights: np.ndarray, step: np.ndarray) -> float:
        value = self.objective.value(weights + step)
        return value if np.isfinite(value) else np.inf

    def _adapt(self, ratio: float) -> None:
        if not ratio >= POOR:
            self.damping *= RAISED
        elif ratio > GOOD:
            self.damping *= LOWERED

    def _refuse(self, weights: np.ndarray, points: list[Iterate]) -> bool:
        """Stay where the weights are, more cautious from now on. Return whether to go on."""
        self.objective.weights = weights
        self.columns = {"step_length": 0.0, "damping": self.damping, "cg_iterations": len(points)}
        self.damping, self.direction = self.damping * RAISED**4, None
        self.refused += 1
        return self.refused < REFUSALS
