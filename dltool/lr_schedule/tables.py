"""Plans as tables and curves: figures, key points, values, what is drawn."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from dltool.errors import UsageError
from dltool.library.schedules._ranges import BOUNDS
from dltool.library.schedules.constant import Constant
from dltool.lr_schedule import schedule_figures
from dltool.lr_schedule.plan import Plan
from dltool.lr_schedule.schedule_figures import Figures
from dltool.output.tables import Rows
from dltool.output.terminal_plot import Curve
from dltool.recipe.builder import EPOCHS

POINTS = 1500  # of a drawn curve
MOST_ROWS = 5_000_000
MOST_JUMPS = 5  # among the key points


def figures(plan: Plan) -> dict[str, Figures]:
    """Return figures of everything that a plan schedules."""
    return {name: schedule_figures.figures(schedule, plan.steps) for name, schedule in plan.schedules.items()}


def warnings(plan: Plan, found: Mapping[str, Figures]) -> list[str]:
    """Return one line for each likely mistake."""
    return [
        f"{plan.label}: {name}: {sentence}."
        for name, schedule in plan.schedules.items()
        for sentence in schedule_figures.warnings(schedule, found[name], _teller(plan))
    ]


def step_of(text: str, plan: Plan, option: str, low: int = 0) -> int:
    """Return a step, given as a number or as '3.5 epochs'.

    Raises:
        UsageError: it is neither, below `low` once rounded, or in epochs where the plan has none.
    """
    match = EPOCHS.fullmatch(text.strip())
    if match is not None:
        if plan.steps_per_epoch is None:
            raise UsageError(f"{option} '{text}': {plan.label} has no epochs: give --steps-per-epoch, or a step.")
        step = float(match[1]) * plan.steps_per_epoch
        if not np.isfinite(step) or round(step) < low:
            raise UsageError(f"{option} '{text}' is no step: {plan.label} has {plan.steps_per_epoch:,} an epoch.")
        return round(step)
    if not text.strip().isdecimal() or int(text) < low:
        raise UsageError(f"{option} must be a step (an int >= {low}) or '3.5 epochs'. Got '{text}'.")
    return int(text)


def steps_asked(plan: Plan, at: Sequence[str], every: str | None, all_steps: bool) -> np.ndarray:
    """Return the steps whose values are shown: those of --at and --every, otherwise all or none.

    Raises:
        UsageError: one is beyond the end, or they are too many.
    """
    chosen = [step_of(text, plan, "--at") for text in at]
    for text, step in zip(at, chosen, strict=True):
        if step > plan.steps:
            raise UsageError(f"--at '{text}' is beyond the end: {plan.label} ends after {_teller(plan)(plan.steps)}.")
    gap = min(step_of(every, plan, "--every", 1), plan.steps) if every is not None else 1
    if every is None and (at or not all_steps):
        return np.array(sorted(set(chosen)), np.int64)
    if plan.steps // gap > MOST_ROWS:
        raise UsageError(f"{plan.label}: has {plan.steps // gap:,} rows: give --every with more steps.")
    return _distinct(np.concatenate([np.array(chosen, np.int64), np.arange(0, plan.steps, gap), [plan.steps - 1]]))


def values(plans: Sequence[Plan], steps: Sequence[np.ndarray]) -> Rows:
    """Return rows of step, epoch, source, and the values of scheduled arguments."""
    columns: dict[str, list[Any]] = {"step": [], "epoch": [], "source": []}
    columns |= {name: [] for name in _scheduled(plans)}
    for plan, chosen in zip(plans, steps, strict=True):
        own: dict[str, Any] = {"step": chosen.tolist(), "epoch": _epochs(plan, chosen).tolist()}
        own |= {name: schedule(chosen).tolist() for name, schedule in plan.schedules.items()}
        own["source"] = [plan.label] * len(chosen)
        for name, column in columns.items():
            column += own.get(name, [None] * len(chosen))
    return Rows(columns)


def summary(plans: Sequence[Plan], found: Sequence[Mapping[str, Figures]]) -> Rows:
    """Return one row per source and scheduled argument: steps, epochs, peak, minimum, final, mean, area."""
    rows = [
        {"source": plan.label, "argument": name, "steps": plan.steps, "epochs": plan.epoch(plan.steps),
         "peak": one.peak, "minimum": one.minimum, "final": one.final, "mean": one.mean, "area": one.area}
        for plan, own in zip(plans, found, strict=True)
        for name, one in own.items()
    ]  # fmt: skip
    return Rows.of(rows)


def key_points(plans: Sequence[Plan], found: Sequence[Mapping[str, Figures]]) -> Rows:
    """Return rows of the steps where something happens.

    These are start, end of warm-up, peak, minimum, jumps, final.
    """
    rows = []
    for plan, own in zip(plans, found, strict=True):
        points: dict[int, list[str]] = {}
        for name, one in own.items():
            for step, what in _points(plan, name, one):
                told = what if len(own) == 1 or what in ("start", "final") else f"{what} of {name}"
                if told not in points.setdefault(step, []):
                    points[step].append(told)
        for step in sorted(points):
            row = {"source": plan.label, "step": step, "epoch": plan.epoch(step), "point": ", ".join(points[step])}
            row |= dict.fromkeys(_scheduled(plans))
            rows.append(row | {name: float(schedule(step)) for name, schedule in plan.schedules.items()})
    return Rows.of(rows)


def agreement(compared: Sequence[Mapping[str, Any]]) -> Rows:
    """Return the largest difference between planned and logged rates, per source and argument."""
    grouped: dict[tuple[str, str], list[float]] = {}
    for row in compared:
        grouped.setdefault((row["source"], row["argument"]), []).append(row["relative_difference"])
    return Rows.of(
        [
            {"source": source, "argument": argument, "epochs": len(found), "max_relative_difference": max(found)}
            for (source, argument), found in grouped.items()
        ]
    )


def curves(plans: Sequence[Plan], found: Sequence[Mapping[str, Figures]], axis: str) -> dict[str, list[Curve]]:
    """Scheduled argument -> a curve of each source that has it, over steps or epochs."""
    panels: dict[str, list[Curve]] = {}
    for number, (plan, own) in enumerate(zip(plans, found, strict=True)):
        for name, schedule in plan.schedules.items():
            near = [step for step, _ in _points(plan, name, own[name])]
            chosen = np.concatenate([np.linspace(0, plan.steps - 1, POINTS), near, np.array(near) - 1])
            steps = _distinct(np.clip(np.round(chosen), 0, plan.steps - 1).astype(np.int64))
            x = _epochs(plan, steps) if axis == "epochs" else steps
            curve = Curve(plan.label, np.asarray(x, np.float64), schedule(steps), number)
            panels.setdefault(name, []).append(curve)
    return {name: panels[name] for name in BOUNDS if name in panels}


def _distinct(steps: np.ndarray) -> np.ndarray:
    """Return the different steps, ascending, as np.unique, which would first import masked arrays."""
    rising = np.sort(steps)
    return rising[np.append(True, rising[1:] != rising[:-1])]


def _points(plan: Plan, name: str, one: Figures) -> list[tuple[int, str]]:
    schedule, last = plan.schedules[name], plan.steps - 1
    if isinstance(schedule, Constant):
        return [(0, "start"), (last, "final")]
    points = [(0, "start"), (one.peak_step, "peak"), (one.minimum_step, "minimum")]
    if 0 < schedule.warmup_steps < last:
        points.append((schedule.warmup_steps, "end of warm-up"))
    points += [(step, "jump") for step, _, _ in one.jumps[:MOST_JUMPS]]
    if schedule.length is not None and schedule.length < last:
        points.append((schedule.length, "end of schedule"))
    return sorted([*points, (last, "final")], key=lambda point: point[0])


def _teller(plan: Plan) -> Callable[[int], str]:
    def told(step: int) -> str:
        epoch = plan.epoch(step)
        return f"step {step:,}" if epoch is None else f"step {step:,} (epoch {epoch:.4g})"

    return told


def _epochs(plan: Plan, steps: np.ndarray) -> Any:
    return np.full(len(steps), np.nan) if plan.steps_per_epoch is None else steps / plan.steps_per_epoch


def _scheduled(plans: Sequence[Plan]) -> list[str]:
    """Scheduled arguments in the same order whichever source has them."""
    return [name for name in BOUNDS if any(name in plan.schedules for plan in plans)]
