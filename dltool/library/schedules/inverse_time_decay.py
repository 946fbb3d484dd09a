"""Inverse time decay."""

from __future__ import annotations

import numpy as np

from dltool.library.schedules import _checks as checks
from dltool.library.schedules._decay import Decay


class InverseTimeDecay(Decay):
    """A hyperbola, as `keras.optimizers.schedules.InverseTimeDecay`.

    rate(step) = initial_learning_rate / (1 + decay_rate * step / decay_steps), the quotient step / decay_steps rounded
    down under `staircase`.

    Args:
        initial_learning_rate: rate at step 0, >= 0.
        decay_steps: steps that count as one, > 0.
        decay_rate: how fast the rate falls, per `decay_steps`, >= 0.
        staircase: drop every `decay_steps` instead of falling all the time. Defaults to False.
        name: Keras's name for the operation.
    Raises:
        ValueError: if an argument is out of its range.
    Limits: falls ever more slowly, so its tail lasts long; it meets the conditions of Robbins & Monro (the sum of rates
        diverges, that of their squares does not), unlike exponential decay.
    Reference: Robbins & Monro, 1951, Annals of Mathematical Statistics 22(3), 400-407; lecture slide 76.
    """

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: int,
        decay_rate: float,
        staircase: bool = False,
        name: str = "InverseTimeDecay",
    ):
        decay_rate = checks.rate("InverseTimeDecay", "decay_rate", decay_rate)
        super().__init__(initial_learning_rate, decay_steps, decay_rate, staircase, name)

    def values(self, step: np.ndarray) -> np.ndarray:
        return self.initial_learning_rate / (1 + self.decay_rate * self.periods(step))
