"""Schedules one after another."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dltool.library.schedules import _checks as checks
from dltool.library.schedules._base import Part, Schedule
from dltool.library.schedules.constant import schedule_of


class Chain(Schedule):
    """Schedules one after another, each counting steps from its own start.

    rate(step) = schedules[i](step - boundaries[i - 1]) where boundaries[i - 1] <= step < boundaries[i].

    Args:
        schedules: the schedules, or numbers >= 0.
        boundaries: the first step of each schedule but the first: steps > 0, rising, one fewer than schedules.
    Raises:
        ValueError: if the boundaries do not rise or the numbers do not fit.
    Limits: nothing makes the ends meet; `dltool lr-schedule` warns of jumps larger than a factor of ten.
    Reference: none; composition of the others.
    """

    def __init__(self, schedules: Sequence[Schedule | float], boundaries: Sequence[int]):
        given = checks.listed("Chain", "schedules", schedules)
        self.schedules = [schedule_of("Chain", "schedules", schedule) for schedule in given]
        if not isinstance(boundaries, list | tuple) or len(boundaries) != len(given) - 1:
            raise checks.wrong("Chain", "boundaries", f"{len(given) - 1} steps, one fewer than schedules", boundaries)
        self.boundaries = [checks.steps("Chain", "boundaries", boundary) for boundary in boundaries]
        if any(later <= earlier for earlier, later in zip(self.boundaries, self.boundaries[1:], strict=False)):
            raise checks.wrong("Chain", "boundaries", "rising steps", boundaries)
        last, start = self.schedules[-1], self._starts()[-1]
        self.length = None if last.length is None else start + last.length
        self.warmup_steps = self.schedules[0].warmup_steps

    def values(self, step: np.ndarray) -> np.ndarray:
        index = np.searchsorted(self.boundaries, step, side="right")
        found = np.zeros(step.shape)
        for number, (schedule, start) in enumerate(zip(self.schedules, self._starts(), strict=True)):
            own = schedule.values(np.maximum(step - start, 0.0))
            found = np.where(index == number, own, found)
        return found

    def cycle(self, step: int) -> tuple[int, int] | None:
        index = int(np.searchsorted(self.boundaries, step, side="right"))
        start = self._starts()[index]
        inner = self.schedules[index].cycle(step - start)
        return inner and (inner[0] + start, inner[1] + start)

    def parts(self) -> list[Part]:
        starts = self._starts()
        return [Part(*part) for part in zip(self.schedules, starts, [*starts[1:], None], strict=True)]

    def _starts(self) -> list[int]:
        return [0, *self.boundaries]
