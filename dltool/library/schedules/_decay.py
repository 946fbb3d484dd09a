"""The base of decays that count in periods of `decay_steps` steps."""

from __future__ import annotations

from typing import Any

import numpy as np

from dltool.library.schedules import _checks as checks
from dltool.library.schedules._base import KerasTwin


class Decay(KerasTwin):
    """A falling rate, a function of the periods step / decay_steps, whole ones alone under `staircase`.

    A subclass checks its `decay_rate` and says `values`.
    """

    def __init__(
        self, initial_learning_rate: Any, decay_steps: Any, decay_rate: float, staircase: Any, name: str
    ) -> None:
        owner = type(self).__name__
        self.initial_learning_rate = checks.rate(owner, "initial_learning_rate", initial_learning_rate)
        self.decay_steps = checks.steps(owner, "decay_steps", decay_steps)
        self.decay_rate = decay_rate
        self.staircase = checks.boolean(owner, "staircase", staircase)
        self.name = name

    def periods(self, step: np.ndarray) -> np.ndarray:
        """Return how many periods are over at steps, float64 of the same shape."""
        periods = step / self.decay_steps
        return np.floor(periods) if self.staircase else periods
