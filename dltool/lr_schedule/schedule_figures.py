"""Figures of a schedule over a training: peak, minimum, final, mean, area, jumps."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from dltool.library.schedules._base import Schedule

WINDOW = 2**20  # steps at a time: memory stays the same however long training is
JUMP = 10.0  # factor from one step to the next that counts as a jump
ROUNDING = 1e-9  # relative: from 0.9 to 0.09 is tenfold, not more
SHARE = 0.01  # of the peak: smaller changes are no jumps, so that the last steps towards zero are none
MOST_JUMPS = 1000


@dataclass
class Figures:
    """Figures of the values at steps 0 to steps - 1.

    Args:
        steps: of the training.
        peak, peak_step: the largest value, and the first step that has it.
        minimum, minimum_step: the smallest value, and the first step that has it.
        final: the last step's value.
        area: the sum over all steps.
        jumps: (step, value before, value at the step) where it changes more than `JUMP`-fold, or to or from 0 by more
            than `JUMP` times the change on the other side of the value that is not 0; the first ones.
        zero_from: the first step from which all values to the end are 0, None where the last is not.
    """

    steps: int
    peak: float = -np.inf
    peak_step: int = 0
    minimum: float = np.inf
    minimum_step: int = 0
    final: float = 0.0
    area: float = 0.0
    jumps: list[tuple[int, float, float]] = field(default_factory=list)
    zero_from: int | None = None

    @property
    def mean(self) -> float:
        return self.area / self.steps


def figures(schedule: Schedule, steps: int) -> Figures:
    """Return figures of a schedule, computed from every step.

    Args:
        steps: of the training, int > 0.
    Limits: `ranges.MOST_STEPS` steps take some seconds, in constant memory.
    """
    found = Figures(steps)
    candidates: list[tuple[int, float, float]] = []
    last_nonzero = -1
    for first in range(0, steps, WINDOW):
        end, begin = min(first + WINDOW, steps), max(first - 2, 0)
        beyond = schedule(np.arange(begin, min(end + 1, steps)))  # with the neighbours that tell a jump
        values = beyond[first - begin : end - begin]
        high, low = int(np.argmax(values)), int(np.argmin(values))
        if values[high] > found.peak:
            found.peak, found.peak_step = float(values[high]), first + high
        if values[low] < found.minimum:
            found.minimum, found.minimum_step = float(values[low]), first + low
        found.area += float(values.sum())
        nonzero = np.flatnonzero(values)
        last_nonzero = first + int(nonzero[-1]) if len(nonzero) else last_nonzero
        found.final = float(values[-1])
        near = _jumps(beyond, begin, schedule.warmup_steps)
        candidates += [jump for jump in near if first <= jump[0] < end]
    found.zero_from = None if last_nonzero == steps - 1 else last_nonzero + 1
    found.jumps = [jump for jump in candidates if abs(jump[2] - jump[1]) >= SHARE * found.peak][:MOST_JUMPS]
    return found


def _jumps(values: np.ndarray, first: int, warmup_steps: int) -> list[tuple[int, float, float]]:
    """Return where neighbours differ more than `JUMP`-fold, except in a warm-up from almost zero."""
    small, large = np.minimum(values[:-1], values[1:]), np.maximum(values[:-1], values[1:])
    change = large - small
    # A straight line to 0 ends with a change as large as those before; what is beyond the ends is not known.
    earlier, later = np.concatenate([[np.inf], change[:-1]]), np.concatenate([change[1:], [np.inf]])
    slope = np.where(values[1:] == 0, earlier, later)
    limit = JUMP * (1 + ROUNDING)
    at = np.flatnonzero(np.where(small > 0, large > limit * small, change > limit * slope)) + 1
    at = at[at + first >= warmup_steps][:MOST_JUMPS]
    return [(int(index) + first, float(values[index - 1]), float(values[index])) for index in at]
