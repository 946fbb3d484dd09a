"""L-BFGS: quasi-Newton steps from the last few changes of weights and gradient."""

from __future__ import annotations

import numpy as np

from dltool.training.procedures._line_search import Line, first_previous
from dltool.training.procedures._second_order import SecondOrder, check_count

USES_OPTIMIZER = False
CURVATURE = 0.9  # c2 of the strong Wolfe conditions: a quasi-Newton step is well scaled


class LBFGS(SecondOrder):
    """Limited-memory BFGS: w <- w - a H g, with H built of the last m pairs (s, y) by the two-loop recursion.

        s = change of w,  y = change of the gradient g,  H_0 = (s y / y y) I,  a by a strong Wolfe search

    An epoch is one iteration over all training data: about one value and gradient. The history has the columns
    step_length, evaluations and gradient_norm.

    Args:
        memory: m, pairs kept, int > 0.
        gradient_tolerance: training ends at this Euclidean norm of the gradient.
        batch_size: examples computed at once; results depend on it by rounding only. Defaults to what fits.
    Raises:
        ValueError: an argument is out of range; on preparation, dropout, batch normalisation or another layer whose
            training loss is no function of the weights.
    Limits: for data whose gradient fits the patience; noise of minibatches breaks the pairs. In float32 the loss stops
        falling at about 1e-7 of its value: set dtype_policy: float64 for more. L1 penalties are not smooth.
    Reference: lecture slide 82; Liu & Nocedal, 1989, Mathematical Programming 45, 503-528; Nocedal & Wright, 2006,
        algorithms 7.4 and 7.5.
    """

    MEMORY = ("previous", "steps_kept", "changes_kept")

    def __init__(self, memory: int = 10, gradient_tolerance: float = 1e-5, batch_size: int | None = None) -> None:
        super().__init__(gradient_tolerance, batch_size)
        self.memory = check_count(self, "memory", memory)
        self.previous: float | None = None
        self.steps_kept: np.ndarray | None = None  # (pairs, weights)
        self.changes_kept: np.ndarray | None = None

    def _iterate(self) -> bool:
        weights = self.objective.weights
        previous = first_previous(self.value, self.gradient) if self.previous is None else self.previous
        direction = -self._times_inverse(self.gradient)
        if direction @ self.gradient >= 0:
            direction = -self.gradient
        line = Line(self.objective, weights, direction, self.value, self.gradient)
        found = line.search(CURVATURE, previous)
        if found is None and self.steps_kept is not None:  # begin again with the steepest descent
            self.steps_kept = self.changes_kept = None
            line = Line(self.objective, weights, -self.gradient, self.value, self.gradient)
            found = line.search(CURVATURE, first_previous(self.value, self.gradient))
        if found is None:
            self.objective.weights = weights
            return False
        self._keep(found.weights - weights, found.gradient - self.gradient)
        self.previous, self.value, self.gradient = self.value, found.value, found.gradient
        self.columns = {"step_length": found.length, "evaluations": line.evaluations}
        return True

    def _times_inverse(self, vector: np.ndarray) -> np.ndarray:
        """Return H v, (weights,)."""
        if self.steps_kept is None or self.changes_kept is None:
            return vector.copy()
        pairs = list(zip(self.steps_kept, self.changes_kept, strict=True))
        q, shares = vector.copy(), []
        for s, y in reversed(pairs):
            shares.append(float(s @ q) / float(s @ y))
            q -= shares[-1] * y
        s, y = pairs[-1]
        q *= float(s @ y) / float(y @ y)
        for (s, y), share in zip(pairs, reversed(shares), strict=True):
            q += (share - float(y @ q) / float(s @ y)) * s
        return q

    def _keep(self, s: np.ndarray, y: np.ndarray) -> None:
        if s @ y <= np.finfo(float).eps * (y @ y):  # no positive curvature along it
            return
        if self.steps_kept is None or self.changes_kept is None:
            self.steps_kept, self.changes_kept = s[None], y[None]
        else:
            self.steps_kept = np.concatenate([self.steps_kept, s[None]])[-self.memory :]
            self.changes_kept = np.concatenate([self.changes_kept, y[None]])[-self.memory :]
