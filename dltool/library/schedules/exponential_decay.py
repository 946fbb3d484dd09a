"""Exponential decay."""

from __future__ import annotations

import numpy as np

from dltool.library.schedules import _checks as checks
from dltool.library.schedules._decay import Decay


class ExponentialDecay(Decay):
    """A constant factor over a fixed number of steps, as `keras.optimizers.schedules.ExponentialDecay`.

    rate(step) = initial_learning_rate * decay_rate^(step / decay_steps), the exponent rounded down under `staircase`.

    Args:
        initial_learning_rate: rate at step 0, >= 0.
        decay_steps: steps over which the rate is multiplied by `decay_rate` once, > 0.
        decay_rate: the factor, > 0.
        staircase: drop every `decay_steps` instead of falling all the time. Defaults to False.
        name: Keras's name for the operation.
    Raises:
        ValueError: if an argument is out of its range.
    Limits: falls as fast early on, when a high rate still pays, as later.
    Reference: lecture slide 76.
    """

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: int,
        decay_rate: float,
        staircase: bool = False,
        name: str = "ExponentialDecay",
    ):
        decay_rate = checks.positive("ExponentialDecay", "decay_rate", decay_rate)
        super().__init__(initial_learning_rate, decay_steps, decay_rate, staircase, name)

    def values(self, step: np.ndarray) -> np.ndarray:
        return self.initial_learning_rate * self.decay_rate ** self.periods(step)
