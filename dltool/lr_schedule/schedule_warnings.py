"""Warnings about likely mistakes in a schedule, in words."""

from __future__ import annotations

from collections.abc import Callable

from dltool.library.schedules._base import Schedule
from dltool.lr_schedule.schedule_figures import JUMP, Figures


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
