"""Exponential decay."""

from __future__ import annotations

import numpy as np

from dltool.library.schedules import _checks as checks
from dltool.library.schedules._base import KerasTwin


class ExponentialDecay(KerasTwin):
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
        self.initial_learning_rate = checks.rate("ExponentialDecay", "initial_learning_rate", initial_learning_rate)
        self.decay_steps = checks.steps("ExponentialDecay", "decay_steps", decay_steps)
        self.decay_rate = checks.positive("ExponentialDecay", "decay_rate", decay_rate)
        self.staircase = checks.boolean("ExponentialDecay", "staircase", staircase)
        self.name = name

    def values(self, step: np.ndarray) -> np.ndarray:
        exponent = step / self.decay_steps
        return self.initial_learning_rate * self.decay_rate ** (np.floor(exponent) if self.staircase else exponent)
