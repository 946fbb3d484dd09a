"""The plans of the sources that a user names, and what their runs have logged."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dltool.errors import UsageError, messages
from dltool.lr_schedule import plan as planning
from dltool.lr_schedule import run_plans
from dltool.lr_schedule.plan import Plan
from dltool.recipe import overrides, reading
from dltool.runs import saved_state

if TYPE_CHECKING:
    from dltool.output.terminal_plot import Curve

SPEC = re.compile(r"\s*\{?\s*[A-Z]\w*\s*(?:[:}]|$)")  # a schedule in words


def plans_of(
    arguments: Sequence[str], steps: int | None, epochs: float | None, steps_per_epoch: int | None
) -> list[Plan]:
    """Return the plans of sources with their overrides, in order.

    A schedule in words takes the steps of the first recipe, unless they are given.

    Raises:
        UsageError: an override comes first, the list has no source, or an option has no schedule to apply to.
    """
    grouped = overrides.grouped(arguments)
    in_words = [_is_spec(source) for source, _ in grouped]
    options = {"--steps": steps, "--epochs": epochs, "--steps-per-epoch": steps_per_epoch}
    used = [name for name, value in options.items() if value is not None]
    if used and not any(in_words):
        raise UsageError(f"{used[0]} is for a schedule alone: a recipe has its own steps (override fit.epochs=...)")
    if steps is not None and epochs is not None:
        raise UsageError("--steps and --epochs exclude each other")
    plans: list[Plan | None] = []
    labels: list[str] = []
    for source, changes in grouped:
        label = " ".join([source, *changes])
        labels.append(label if label not in labels else f"{label} ({labels.count(label) + 1})")
        plans.append(None if _is_spec(source) else planning.of_recipe(source, changes, labels[-1]))
    beside = next((plan for plan in plans if plan is not None), None)
    if beside is not None:
        steps_per_epoch = steps_per_epoch or beside.steps_per_epoch
        steps = beside.steps if steps is None and epochs is None else steps
    if epochs is not None and steps_per_epoch is None:
        raise UsageError("--epochs needs the steps of one: give --steps-per-epoch")
    return [
        plan or planning.of_schedule(source, changes, label, steps, epochs, steps_per_epoch)
        for plan, label, (source, changes) in zip(plans, labels, grouped, strict=True)
    ]


def _is_spec(source: str) -> bool:
    return bool(SPEC.match(source)) and not reading.holds(Path(source).exists)


def with_history(plan: Plan, metrics: str | None, found: Mapping[str, list[Any]]) -> Plan:
    """Return the plan, under a plateau shaped by its metric; add what a run has logged to `found`."""
    logged = run_plans.history(plan.run.directory) if plan.run is not None else []
    if len(plan.plateaus) > 1:
        count = len(plan.plateaus)
        if metrics is not None:
            raise UsageError(
                f"{plan.label}: has {count} ReduceLROnPlateau, and --metrics shows one: remove the others."
            )
        monitors = " and ".join(str(plateau["monitor"]) for plateau in plan.plateaus)
        messages.say(
            f"{plan.label}: {count} ReduceLROnPlateau lower it by {monitors}: what they do together is not shown."
        )
    elif metrics is not None or plan.plateaus:
        monitor = str(plan.plateaus[0]["monitor"]) if plan.plateaus else ""
        metric: list[float | None] | None = [row.get(monitor) for row in logged] if logged else None
        if metrics is not None:
            metric = run_plans.given_metric(metrics, monitor)
        if metric is None:
            messages.say(
                f"{plan.label}: ReduceLROnPlateau lowers it by {monitor}, not known yet: give --metrics to see how."
            )
        else:
            plan, rows = run_plans.under_plateau(plan, metric)
            found["plateau"] += rows
    if plan.run is not None:
        found["planned and logged"] += run_plans.compared(plan, logged)
        at = saved_state.read_position(plan.run.directory)
        if at is not None:
            rest = run_plans.to_come(plan, at)
            found["after --resume"] += rest
            if not rest:
                messages.say(
                    f"{plan.label}: all {plan.steps:,} steps are done: --resume goes on with a larger fit.epochs."
                )
    return plan


def logged_points(plans: Sequence[Plan], logged: Sequence[Mapping[str, Any]], axis: str) -> dict[str, list[Curve]]:
    """Return what runs have logged as points of a plot."""
    import numpy as np

    from dltool.output.terminal_plot import Curve

    dots: dict[str, list[Curve]] = {}
    for plan in plans:
        for name in plan.schedules:
            rows = [row for row in logged if (row["source"], row["argument"]) == (plan.label, name)]
            if rows:
                x = [plan.epoch(row["step"]) if axis == "epochs" else row["step"] for row in rows]
                y = np.array([row["logged"] for row in rows], np.float64)
                dots.setdefault(name, []).append(Curve(f"{plan.label}, logged", np.array(x, np.float64), y))
    return dots
