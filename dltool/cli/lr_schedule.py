"""dltool lr-schedule: the learning rate as training will use it, printed and drawn before training."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dltool.errors import Mistakes, UsageError
from dltool.lr_schedule import plan as planning
from dltool.lr_schedule import run_plans
from dltool.lr_schedule import tables as plan_tables
from dltool.lr_schedule.plan import Plan
from dltool.output import tables
from dltool.output.files import PICTURES, check_target, output
from dltool.output.tables import Rows
from dltool.recipe import overrides, reading
from dltool.runs import saved_state

if TYPE_CHECKING:
    from dltool.output.terminal_plot import Curve

SPEC = re.compile(r"\s*\{?\s*[A-Z]\w*\s*(?:[:}]|$)")  # a schedule in words
AXES = {"steps": "step", "epochs": "epoch"}


def run(
    arguments: Sequence[str],
    *,
    steps: int | None,
    epochs: float | None,
    steps_per_epoch: int | None,
    at: Sequence[str],
    every: str | None,
    axis: str,
    log: bool,
    metrics: str | None,
    plot: Path | None,
    overwrite: bool,
    form: str,
    width: int,
    write: Callable[[str], None],
    say: Callable[[str], None],
) -> None:
    """Write tables and drawings of schedules; warnings go to `say`.

    Args:
        arguments: sources (recipes, runs, schedules in words), each followed by the overrides for it.
        width: characters of a drawing in the terminal.
    """
    mistakes = Mistakes()
    plans: list[Plan] = []
    with mistakes:
        check_target("--plot", plot, overwrite, PICTURES)
    with mistakes:
        plans = planned(arguments, steps, epochs, steps_per_epoch)
    with mistakes:
        if metrics is not None and len(plans) > 1:
            raise UsageError("--metrics is one training's: give one recipe with it, not several sources")
    mistakes.finish()
    found: dict[str, list[Any]] = {"plateau": [], "planned and logged": [], "after --resume": []}
    plans = [_with_history(plan, metrics, found, say) for plan in plans]
    for plan in plans:
        if axis == "epochs" and plan.steps_per_epoch is None:
            raise UsageError(f"--x epochs: {plan.label} has no epochs: give --steps-per-epoch.")
    asked = [plan_tables.steps_asked(plan, at, every, form == "csv") for plan in plans]
    figures = [plan_tables.figures(plan) for plan in plans]
    for plan, own in zip(plans, figures, strict=True):
        for line in plan_tables.warnings(plan, own):
            say(line)
    report = {"schedules": plan_tables.summary(plans, figures), "key points": plan_tables.key_points(plans, figures)}
    if sum(map(len, asked)):
        report["values"] = plan_tables.values(plans, asked)
    report |= {title: Rows.of(rows) for title, rows in found.items() if rows}
    if found["planned and logged"]:
        report["agreement"] = plan_tables.agreement(found["planned and logged"])
    panels = plan_tables.curves(plans, figures, axis)
    if form == "table":
        write(_drawn(panels, AXES[axis], log, width))
    write(tables.render(report, form, "values"))
    if plot is not None:
        _plot(plot, panels, _dots(plans, found["planned and logged"], axis), AXES[axis], log)


def planned(
    arguments: Sequence[str], steps: int | None, epochs: float | None, steps_per_epoch: int | None
) -> list[Plan]:
    """The plans of sources with their overrides, in order.

    A schedule in words beside a recipe has the first recipe's steps, unless they are given.

    Raises:
        UsageError: an override comes first, there is no source, or an option has no schedule to apply to.
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


def _with_history(plan: Plan, metrics: str | None, found: Mapping[str, list[Any]], say: Callable[[str], None]) -> Plan:
    """The plan, under a plateau shaped by its metric; what a run has logged goes into `found`."""
    logged = run_plans.history(plan.run) if plan.run is not None else []
    if len(plan.plateaus) > 1:
        count = len(plan.plateaus)
        if metrics is not None:
            raise UsageError(
                f"{plan.label}: has {count} ReduceLROnPlateau, and --metrics shows one: remove the others."
            )
        monitors = " and ".join(str(plateau["monitor"]) for plateau in plan.plateaus)
        say(f"{plan.label}: {count} ReduceLROnPlateau lower it by {monitors}: what they do together is not shown.")
    elif metrics is not None or plan.plateaus:
        monitor = str(plan.plateaus[0]["monitor"]) if plan.plateaus else ""
        metric: list[float | None] | None = [row.get(monitor) for row in logged] if logged else None
        if metrics is not None:
            metric = run_plans.given_metric(metrics, monitor)
        if metric is None:
            say(f"{plan.label}: ReduceLROnPlateau lowers it by {monitor}, not known yet: give --metrics to see how.")
        else:
            plan, rows = run_plans.under_plateau(plan, metric)
            found["plateau"] += rows
    if plan.run is not None:
        found["planned and logged"] += run_plans.compared(plan, logged)
        at = saved_state.read_position(plan.run)
        if at is not None:
            rest = run_plans.to_come(plan, at)
            found["after --resume"] += rest
            if not rest:
                say(f"{plan.label}: all {plan.steps:,} steps are done: --resume goes on with a larger fit.epochs.")
    return plan


def _drawn(panels: Mapping[str, Sequence[Curve]], axis: str, log: bool, width: int) -> str:
    from dltool.output.terminal_plot import plot

    drawings = [plot(curves, name.replace("_", " "), axis, width=width, log=log) for name, curves in panels.items()]
    return "\n".join(drawings) + "\n"


def _dots(plans: Sequence[Plan], logged: Sequence[Mapping[str, Any]], axis: str) -> dict[str, list[Curve]]:
    """What runs have logged, as points."""
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


def _plot(
    path: Path, panels: Mapping[str, Sequence[Curve]], dots: Mapping[str, Sequence[Curve]], axis: str, log: bool
) -> None:
    from dltool.output.schedules import plot_schedules

    with output(path) as file:
        plot_schedules(panels, file, path.suffix.lower().lstrip("."), axis, log=log, dots=dots)
