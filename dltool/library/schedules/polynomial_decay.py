"""Polynomial decay."""

from __future__ import annotations

from typing import Any

import numpy as np

from dltool.library.schedules import _checks as checks
from dltool.library.schedules._base import KerasTwin


class PolynomialDecay(KerasTwin):
    """A power of the time that is left, as `keras.optimizers.schedules.PolynomialDecay`.

    rate(step) = (initial_learning_rate - end_learning_rate) * (1 - min(step, n) / n)^power + end_learning_rate with
    n = decay_steps, under `cycle` the first multiple of decay_steps that is not below the step.

    Args:
        initial_learning_rate: rate at step 0, >= 0.
        decay_steps: steps of the decay, > 0.
        end_learning_rate: rate after it, >= 0. Defaults to 1e-4.
        power: of the time left, > 0. Defaults to 1: a straight line.
        cycle: rise again after every decay, each time less. Defaults to False.
        name: Keras's name for the operation.
    Raises:
        ValueError: if an argument is out of its range.
    Limits: as every decay with an end, it must know beforehand when training ends.
    Reference: Chen et al., 2018, arXiv:1606.00915, section 4.1.1 ("poly", power 0.9).
    """

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: int,
        end_learning_rate: float = 0.0001,
        power: float = 1.0,
        cycle: bool = False,
        name: str = "PolynomialDecay",
    ):
        self.initial_learning_rate = checks.rate("PolynomialDecay", "initial_learning_rate", initial_learning_rate)
        self.decay_steps = checks.steps("PolynomialDecay", "decay_steps", decay_steps)
        self.end_learning_rate = checks.rate("PolynomialDecay", "end_learning_rate", end_learning_rate)
        self.power = checks.positive("PolynomialDecay", "power", power)
        self.cyclic = checks.boolean("PolynomialDecay", "cycle", cycle)
        self.name = name
        self.length = None if self.cyclic else self.decay_steps

    def values(self, step: np.ndarray) -> np.ndarray:
        n = self.decay_steps * (np.maximum(np.ceil(step / self.decay_steps), 1.0) if self.cyclic else 1.0)
        left = 1 - np.minimum(step, n) / n
        return (self.initial_learning_rate - self.end_learning_rate) * left**self.power + self.end_learning_rate

    def cycle(self, step: int) -> tuple[int, int] | None:
        if not self.cyclic:
            return None
        number = -(-max(step, 1) // self.decay_steps)  # a multiple of decay_steps is still the cycle's last step
        return (number - 1) * self.decay_steps, number * self.decay_steps

    def arguments(self) -> dict[str, Any]:
        own = ("initial_learning_rate", "decay_steps", "end_learning_rate", "power")
        return {**{name: getattr(self, name) for name in own}, "cycle": self.cyclic, "name": self.name}
