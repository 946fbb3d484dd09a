"""Warm restarts of any schedule."""

from __future__ import annotations

import numpy as np

from dltool.library.schedules import _checks as checks
from dltool.library.schedules import _periods as periods
from dltool.library.schedules._base import Part, Schedule
from dltool.library.schedules.constant import schedule_of


class Restarts(Schedule):
    """A schedule that starts again every period, stretched to the period's length.

    Period i has period * t_mul^i steps; with p the share of it that is done, rate = m_mul^i * schedule(p * period).
    With `CosineDecay` over `period` steps it is `CosineDecayRestarts` of alpha 0.

    Args:
        schedule: a schedule, or a number >= 0.
        period: steps of the first period, > 0.
        t_mul: factor of each period's length to the one before, from 1 to 1,000,000. Defaults to 1.
        m_mul: factor of each period's values to those of the one before, >= 0. Defaults to 1.
    Raises:
        ValueError: if an argument is out of its range.
    Limits: training that ends amid a period ends with a high rate: choose the epochs so that a period ends there.
    Reference: Loshchilov & Hutter, 2017, arXiv:1608.03983, section 3 (there of the cosine).
    """

    def __init__(self, schedule: Schedule | float, period: int, t_mul: float = 1.0, m_mul: float = 1.0):
        self.schedule = schedule_of("Restarts", "schedule", schedule)
        self.period = checks.steps("Restarts", "period", period)
        self.t_mul = periods.factor("Restarts", t_mul)
        self.m_mul = checks.rate("Restarts", "m_mul", m_mul)

    def values(self, step: np.ndarray) -> np.ndarray:
        index, done = periods.locate(step, self.period, self.t_mul)
        return self.m_mul**index * self.schedule.values(done * self.period)

    def cycle(self, step: int) -> tuple[int, int] | None:
        return periods.around(step, self.period, self.t_mul)

    def parts(self) -> list[Part]:
        """Return the first period; the others are this one stretched."""
        return [Part(self.schedule, 0, self.period)]
