"""What is likely to be a mistake in a schedule, in words."""

from __future__ import annotations

from collections.abc import Callable

from dltool.diagnostics.schedule_figures import JUMP, Figures
from dltool.schedules.base import Schedule


def warnings(schedule: Schedule, found: Figures, when: Callable[[int], str]) -> list[str]:
    """Sentences about a warm-up longer than the run, a cycle cut short, zero reached early, jumps, an early end.

    Args:
        schedule: the schedule.
        found: its figures over the training.
        when: a step in words, such as "step 120 (epoch 3)".
    """
    steps, said = found.steps, []
    if schedule.warmup_steps >= steps:
        said.append(f"the warm-up of {schedule.warmup_steps:,} steps is longer than the run of {steps:,}")
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
    for step, before, after in found.jumps[:3]:
        factor = max(before, after) / min(before, after)
        said.append(f"it jumps by a factor of {factor:.3g} at {when(step)}, from {before:.4g} to {after:.4g}")
    if len(found.jumps) > 3:
        said.append(f"it jumps more than {JUMP:g}-fold {len(found.jumps) - 3:,} more times")
    return said
