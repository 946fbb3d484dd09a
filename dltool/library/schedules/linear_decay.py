"""Linear decay to a constant."""

from __future__ import annotations

from typing import Any

import numpy as np

from dltool.library.schedules import _checks as checks
from dltool.library.schedules._base import Schedule


class LinearDecay(Schedule):
    """A straight line from one rate to another, then constant.

    rate(step) = (1 - a) * initial_learning_rate + a * end_learning_rate with a = min(step / decay_steps, 1).

    Args:
        initial_learning_rate: eps_0, the rate at step 0, >= 0.
        end_learning_rate: eps_tau, the rate from step `decay_steps` on, >= 0.
        decay_steps: tau, steps of the decay, > 0.
    Raises:
        ValueError: if an argument is out of its range.
    Limits: where it is to end must be known beforehand.
    Reference: Goodfellow, Bengio & Courville, 2016, Deep Learning, eq. 8.14; lecture slide 76.
    """

    def __init__(self, initial_learning_rate: float, end_learning_rate: float, decay_steps: int):
        self.initial_learning_rate = checks.rate("LinearDecay", "initial_learning_rate", initial_learning_rate)
        self.end_learning_rate = checks.rate("LinearDecay", "end_learning_rate", end_learning_rate)
        self.decay_steps = self.length = checks.steps("LinearDecay", "decay_steps", decay_steps)

    def values(self, step: np.ndarray) -> np.ndarray:
        a = np.minimum(step / self.decay_steps, 1.0)
        return (1 - a) * self.initial_learning_rate + a * self.end_learning_rate

    def as_keras(self) -> tuple[str, dict[str, Any]] | None:
        return "PolynomialDecay", self.arguments()  # of power 1, its default
