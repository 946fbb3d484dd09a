"""A schedule over a training in figures (peak, mean, area, jumps) and in warnings about likely mistakes."""

from __future__ import annotations

from collections.abc import Callable
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


def warnings(schedule: Schedule, found: Figures, when: Callable[[int], str]) -> list[str]:
    """Sentences about warm-ups and cycles cut short, parts never reached, zero reached early, jumps, an early end.

    Args:
        schedule: the schedule.
        found: its figures over the training.
        when: a step in words, such as "step 120 (epoch 3)".
    """
    steps, said = found.steps, _cut_short(schedule, 0, found.steps, found.steps, when)
    cycle = schedule.cycle(steps - 1)
    if cycle is not None and cycle[1] > steps:
        done, whole = steps - cycle[0], cycle[1] - cycle[0]
        said.append(f"the last cycle is cut short: {done:,} of its {whole:,} steps, from {when(cycle[0])}")
    if found.zero_from is not None and found.zero_from < steps - 1:
        said.append(
            f"it is zero from {when(found.zero_from)} on: the last {steps - found.zero_from:,} steps do nothing"
        )
    elif schedule.length is not None and schedule.length < steps - 1:
        left = steps - schedule.length
        said.append(f"it ends at {when(schedule.length)}: it stays at {found.final:.4g} for the last {left:,} steps")
    jumps = [jump for jump in found.jumps if jump[0] != found.zero_from]
    for step, before, after in jumps[:3]:
        by = f" by a factor of {max(before, after) / min(before, after):.3g}" if min(before, after) > 0 else ""
        said.append(f"it jumps{by} at {when(step)}, from {before:.4g} to {after:.4g}")
    if len(jumps) > 3:
        said.append(f"it jumps more than {JUMP:g}-fold {len(jumps) - 3:,} more times")
    return said


def _cut_short(schedule: Schedule, first: int, end: int, steps: int, when: Callable[[int], str]) -> list[str]:
    """Sentences about what a schedule that has the steps `first` to `end` - 1 of a run does not come to do."""
    said, parts = [], schedule.parts()
    if not (parts and parts[0].first == 0) and schedule.warmup_steps >= end - first:  # else that part's own
        has = (
            f"the run of {steps:,}" if (first, end) == (0, steps) else f"the {end - first:,} it has from {when(first)}"
        )
        said.append(f"the warm-up of {schedule.warmup_steps:,} steps is longer than {has}")
    for number, part in enumerate(parts, start=1):
        begins = first + part.first
        stops = end if part.end is None else min(first + part.end, end)
        if begins < end:
            said += _cut_short(part.schedule, begins, stops, steps, when)
        elif part.first > schedule.warmup_steps:  # else its warm-up has been told
            said.append(f"part {number} of {len(parts)} is never reached: it begins at {when(begins)}")
        cycle = part.schedule.cycle(stops - 1 - begins) if begins < end and stops < end else None
        if cycle is not None and cycle[1] > stops - begins:
            done, whole = stops - begins - cycle[0], cycle[1] - cycle[0]
            where = when(begins + cycle[0])
            said.append(f"a cycle is cut short by what follows: {done:,} of its {whole:,} steps, from {where}")
    return said
