"""Step decay."""

from __future__ import annotations

from typing import Any

import numpy as np

from dltool.library.schedules import _checks as checks
from dltool.library.schedules._base import Schedule


class StepDecay(Schedule):
    """A drop by a factor every `decay_steps` steps: rate(step) = initial_learning_rate * factor^floor(step /
    decay_steps).

    Args:
        initial_learning_rate: rate at step 0, >= 0.
        decay_steps: steps from one drop to the next, > 0.
        factor: by which the rate is multiplied, > 0. Defaults to 0.5: halved.
    Raises:
        ValueError: if an argument is out of its range.
    Limits: drops by the clock, whether or not training has stopped improving; see `ReduceLROnPlateau`.
    Reference: lecture slide 76 (halving).
    """

    def __init__(self, initial_learning_rate: float, decay_steps: int, factor: float = 0.5):
        self.initial_learning_rate = checks.rate("StepDecay", "initial_learning_rate", initial_learning_rate)
        self.decay_steps = checks.steps("StepDecay", "decay_steps", decay_steps)
        self.factor = checks.positive("StepDecay", "factor", factor)

    def values(self, step: np.ndarray) -> np.ndarray:
        return self.initial_learning_rate * self.factor ** np.floor(step / self.decay_steps)

    def as_keras(self) -> tuple[str, dict[str, Any]] | None:
        arguments = {"initial_learning_rate": self.initial_learning_rate, "decay_steps": self.decay_steps}
        return "ExponentialDecay", {**arguments, "decay_rate": self.factor, "staircase": True}
