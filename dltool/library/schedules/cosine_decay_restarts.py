"""Cosine decay with warm restarts."""

from __future__ import annotations

import numpy as np

from dltool.library.schedules import _checks as checks
from dltool.library.schedules import _periods as periods
from dltool.library.schedules._base import KerasTwin


class CosineDecayRestarts(KerasTwin):
    """Cosine decays one after another, as `keras.optimizers.schedules.CosineDecayRestarts`.

    Period i has first_decay_steps * t_mul^i steps; with p the share of it that is done,
    rate = initial_learning_rate * ((1 - alpha) * m_mul^i * (1 + cos(pi * p)) / 2 + alpha).

    Args:
        initial_learning_rate: rate at step 0, >= 0.
        first_decay_steps: steps of the first period, > 0.
        t_mul: factor of each period's length to the one before, from 1 to 1,000,000. Defaults to 2.
        m_mul: factor of each period's start to the one before, >= 0. Defaults to 1.
        alpha: lowest rate as a fraction of the initial one, >= 0. Defaults to 0.
        name: Keras's name for the operation.
    Raises:
        ValueError: if an argument is out of its range (Keras gives NaN for t_mul < 1).
    Limits: training that ends amid a period ends with a high rate: choose the epochs so that a period ends there.
    Reference: Loshchilov & Hutter, 2017, arXiv:1608.03983, eq. 5 and section 4.
    """

    def __init__(
        self,
        initial_learning_rate: float,
        first_decay_steps: int,
        t_mul: float = 2.0,
        m_mul: float = 1.0,
        alpha: float = 0.0,
        name: str = "SGDRDecay",
    ):
        owner = "CosineDecayRestarts"
        self.initial_learning_rate = checks.rate(owner, "initial_learning_rate", initial_learning_rate)
        self.first_decay_steps = checks.steps(owner, "first_decay_steps", first_decay_steps)
        self.t_mul = periods.factor(owner, t_mul)
        self.m_mul = checks.rate(owner, "m_mul", m_mul)
        self.alpha = checks.rate(owner, "alpha", alpha)
        self.name = name

    def values(self, step: np.ndarray) -> np.ndarray:
        index, done = periods.locate(step, self.first_decay_steps, self.t_mul)
        cosine = 0.5 * self.m_mul**index * (1 + np.cos(np.pi * done))
        return self.initial_learning_rate * ((1 - self.alpha) * cosine + self.alpha)

    def cycle(self, step: int) -> tuple[int, int] | None:
        return periods.around(step, self.first_decay_steps, self.t_mul)
