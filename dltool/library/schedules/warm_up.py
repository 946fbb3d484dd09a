"""A linear warm-up before any schedule."""

from __future__ import annotations

import numpy as np

from dltool.library.schedules import _checks as checks
from dltool.library.schedules._base import Part, Schedule
from dltool.library.schedules.constant import schedule_of


class WarmUp(Schedule):
    """A straight rise to where another schedule begins, then that schedule.

    rate(step) = initial_learning_rate + (schedule(0) - initial_learning_rate) * step / warmup_steps while
    step < warmup_steps, then schedule(step - warmup_steps).

    Args:
        schedule: what follows, a schedule or a number >= 0; its steps count from the end of the warm-up.
        warmup_steps: steps of the rise, > 0.
        initial_learning_rate: rate at step 0, >= 0. Defaults to 0: the first step changes nothing.
    Raises:
        ValueError: if an argument is out of its range.
    Limits: lengthens the wrapped schedule by the warm-up: a decay over all of training must be that much shorter.
    Reference: Goyal et al., 2017, arXiv:1706.02677, section 2.2 ("gradual warmup").
    """

    def __init__(self, schedule: Schedule | float, warmup_steps: int, initial_learning_rate: float = 0.0):
        self.schedule = schedule_of("WarmUp", "schedule", schedule)
        own = checks.steps("WarmUp", "warmup_steps", warmup_steps)
        self.initial_learning_rate = checks.rate("WarmUp", "initial_learning_rate", initial_learning_rate)
        self.warmup_steps = own
        if self.schedule.length is not None:
            self.length = own + self.schedule.length

    def values(self, step: np.ndarray) -> np.ndarray:
        first = self.initial_learning_rate
        rising = first + (float(self.schedule(0)) - first) * step / self.warmup_steps
        later = self.schedule.values(np.maximum(step - self.warmup_steps, 0.0))
        return np.where(step < self.warmup_steps, rising, later)

    def cycle(self, step: int) -> tuple[int, int] | None:
        inner = self.schedule.cycle(step - self.warmup_steps) if step >= self.warmup_steps else None
        return inner and (inner[0] + self.warmup_steps, inner[1] + self.warmup_steps)

    def parts(self) -> list[Part]:
        return [Part(self.schedule, self.warmup_steps, None)]
