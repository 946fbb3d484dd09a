"""dltool lr-schedule: the learning rate as training will use it, printed and drawn before training."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dltool.cli import completion
from dltool.cli.options import Format, FormatOption, OverwriteOption, PlotOption
from dltool.errors import Mistakes, UsageError, messages
from dltool.output import tables
from dltool.output.files import PICTURES, check_target, output
from dltool.output.tables import Rows

if TYPE_CHECKING:
    from dltool.lr_schedule.plan import Plan
    from dltool.output.terminal_plot import Curve

AXES = {"steps": "step", "epochs": "epoch"}


class Axis(StrEnum):
    """The unit of the horizontal axis."""

    steps = "steps"
    epochs = "epochs"


def lr_schedule(
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="SOURCE [KEY=VALUE]...",
            help="Recipes, runs or schedules ('StepDecay: {initial_learning_rate: 0.1, decay_steps: 500}'), each "
            "followed by the values to replace in it.",
            autocompletion=completion.sources_with_overrides,
        ),
    ],
    at: Annotated[
        list[str] | None, typer.Option("--at", help="Values at a step, or at '3.5 epochs'; may be repeated.")
    ] = None,
    every: Annotated[
        str | None, typer.Option("--every", help="Values at this distance: a number of steps, or '1 epoch'.")
    ] = None,
    axis: Annotated[Axis, typer.Option("--x", help="The unit of the horizontal axis.")] = Axis.steps,
    log: Annotated[bool, typer.Option("--log", help="Draw on a logarithmic scale.")] = False,
    metrics: Annotated[
        str | None,
        typer.Option("--metrics", help="The monitored metric for ReduceLROnPlateau: 0.9,0.7,0.7,... or a CSV file."),
    ] = None,
    steps: Annotated[int | None, typer.Option("--steps", min=1, help="Steps of a schedule given alone.")] = None,
    epochs: Annotated[float | None, typer.Option("--epochs", min=0, help="Epochs of a schedule given alone.")] = None,
    steps_per_epoch: Annotated[
        int | None, typer.Option("--steps-per-epoch", min=1, help="Steps an epoch of a schedule given alone.")
    ] = None,
    plot: PlotOption = None,
    overwrite: OverwriteOption = False,
    form: FormatOption = Format.table,
) -> None:
    """Show the learning rate as training will use it: curve, key points, warnings; nothing is trained.

    To find a rate for a recipe's model and data, see dltool lr-find.
    """
    from dltool.lr_schedule import sources as planning
    from dltool.lr_schedule import tables as plan_tables

    mistakes = Mistakes()
    plans: list[Plan] = []
    with mistakes:
        check_target("--plot", plot, overwrite, PICTURES)
    with mistakes:
        plans = planning.plans_of(sources, steps, epochs, steps_per_epoch)
    with mistakes:
        if metrics is not None and len(plans) > 1 and sum(bool(plan.plateaus) for plan in plans) != 1:
            raise UsageError("--metrics is one training's: of several sources one must have a ReduceLROnPlateau")
    mistakes.finish()
    logged: dict[str, list[Any]] = {"plateau": [], "planned and logged": [], "after --resume": []}
    alone = len(plans) == 1
    plans = [planning.with_history(plan, metrics if alone or plan.plateaus else None, logged) for plan in plans]
    for plan in plans:
        if axis == Axis.epochs and plan.steps_per_epoch is None:
            raise UsageError(f"--x epochs: {plan.label} has no epochs: give --steps-per-epoch.")
    asked = [plan_tables.steps_asked(plan, at or [], every, form == Format.csv) for plan in plans]
    figures = [plan_tables.figures(plan) for plan in plans]
    for plan, own in zip(plans, figures, strict=True):
        for line in plan_tables.warnings(plan, own):
            messages.say(line)
    report = {"schedules": plan_tables.summary(plans, figures), "key points": plan_tables.key_points(plans, figures)}
    if sum(map(len, asked)):
        report["values"] = plan_tables.values(plans, asked)
    report |= {title: Rows.of(rows) for title, rows in logged.items() if rows}
    if logged["planned and logged"]:
        report["agreement"] = plan_tables.agreement(logged["planned and logged"])
    panels = plan_tables.curves(plans, figures, axis)
    if form == Format.table:
        messages.write(_draw(panels, AXES[axis], log, shutil.get_terminal_size().columns - 2))
    messages.write(tables.render(report, form, "values"))
    if plot is not None:
        points = planning.logged_points(plans, logged["planned and logged"], axis)
        _plot(plot, panels, points, AXES[axis], log)


def _draw(panels: Mapping[str, Sequence[Curve]], axis: str, log: bool, width: int) -> str:
    from dltool.output.terminal_plot import plot

    drawings = [plot(curves, name.replace("_", " "), axis, width=width, log=log) for name, curves in panels.items()]
    return "\n".join(drawings) + "\n"


def _plot(
    path: Path, panels: Mapping[str, Sequence[Curve]], dots: Mapping[str, Sequence[Curve]], axis: str, log: bool
) -> None:
    from dltool.output.schedules import plot_schedules

    with output(path) as file:
        plot_schedules(panels, file, path.suffix.lower().lstrip("."), axis, log=log, dots=dots)
