"""A run compared with its plan: logged rates, and the rates that a continued training will use."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from dltool.errors import UsageError
from dltool.library.schedules._ranges import BOUNDS
from dltool.library.schedules.constant import Constant
from dltool.library.schedules.piecewise_constant_decay import PiecewiseConstantDecay
from dltool.lr_schedule import plateau
from dltool.lr_schedule.plan import Plan
from dltool.recipe import signatures
from dltool.runs import directory
from dltool.runs.directory import RunDirectory


def history(run: RunDirectory) -> list[dict[str, float]]:
    """Return the rows of history.csv, empty if the run has none yet.

    Raises:
        DataError: it is damaged.
    """
    path = run / directory.HISTORY
    if not path.is_file():
        return []
    with run.reading(directory.HISTORY), path.open(newline="", encoding="utf-8") as file:
        rows = [{name: float(cell) for name, cell in row.items() if cell} for row in csv.DictReader(file)]
        return [row for row in rows if {"epoch", "step", "learning_rate"} <= row.keys()]


def compared(plan: Plan, rows: Sequence[dict[str, float]]) -> list[dict[str, Any]]:
    """Planned against logged, a row for each epoch and scheduled argument; both at the epoch's last step."""
    found = []
    for row in rows:
        for name in BOUNDS:
            if name in row and name in plan.schedules:
                step = int(row["step"]) - 1
                planned, logged = float(plan.schedules[name](step)), row[name]
                scale = max(abs(planned), abs(logged))
                difference = abs(planned - logged) / scale if scale else 0.0
                found.append({"source": plan.label, "epoch": int(row["epoch"]), "step": step, "argument": name,
                              "planned": planned, "logged": logged, "relative_difference": difference})  # fmt: skip
    return found


def to_come(plan: Plan, at: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the rates that --resume uses, empty if training is done.

    They are at the next step, the ends of two epochs, and the last step.
    """
    steps, epoch_steps = plan.steps, plan.steps_per_epoch or plan.steps
    first = at["total_steps"]
    if first >= steps:
        return []
    ends = [(at["epoch"] + number) * epoch_steps - 1 for number in (1, 2)]
    chosen = sorted({step for step in (first, *ends, steps - 1) if first <= step < steps})
    return [
        {"source": plan.label, "step": step, "epoch": plan.epoch(step)}
        | {name: float(schedule(step)) for name, schedule in plan.schedules.items()}
        for step in chosen
    ]


def under_plateau(plan: Plan, metric: Sequence[float | None]) -> tuple[Plan, list[dict[str, Any]]]:
    """Return the plan that `ReduceLROnPlateau` shapes for a metric, and one row per epoch.

    Epochs after the metric's last keep the rate that is then in force.

    Raises:
        UsageError: the recipe lacks this callback, also has a schedule, or has a monitor of unknown direction.
    """
    if not plan.plateaus:
        raise UsageError(f"{plan.label}: has no ReduceLROnPlateau: add it (fit.callbacks=[ReduceLROnPlateau]).")
    found, rate = plan.plateaus[0], plan.schedules["learning_rate"]
    if not isinstance(rate, Constant):
        raise UsageError(f"{plan.label}: ReduceLROnPlateau changes a number, but learning_rate is a schedule.")
    epoch_steps = plan.steps_per_epoch or plan.steps
    metric = metric[: plan.steps // epoch_steps]
    given = {name: found[name] for name in plateau.ARGUMENTS}
    try:
        epochs = plateau.simulate(metric, rate.value, mode=_mode(plan, found), **given)
    except (TypeError, ValueError) as error:
        raise UsageError(f"{plan.label}: fit.callbacks: ReduceLROnPlateau: {error}") from error
    boundaries = [(index + 1) * epoch_steps - 1 for index, epoch in enumerate(epochs) if epoch.reduced]
    values = [rate.value, *(epoch.next_learning_rate for epoch in epochs if epoch.reduced)]
    shaped = PiecewiseConstantDecay(boundaries, values) if boundaries else rate
    rows = [
        {"source": plan.label, "epoch": number, found["monitor"]: value, "learning_rate": epoch.learning_rate,
         "reduced": epoch.reduced, "next_learning_rate": epoch.next_learning_rate}
        for number, (value, epoch) in enumerate(zip(metric, epochs, strict=True), start=1)
    ]  # fmt: skip
    return replace(plan, schedules={**plan.schedules, "learning_rate": shaped}), rows


def given_metric(text: str, monitor: str) -> list[float | None]:
    """Return a metric sequence: numbers between commas, or a column of a CSV file.

    The column is `monitor`, or the only one.

    Raises:
        UsageError: it is neither.
    """
    path = Path(text)
    if text.strip() and "," not in text and (path.suffix or path.is_file()):
        return _column(path, monitor)
    try:
        return [float(cell) for cell in text.split(",")]
    except ValueError:
        message = "must be numbers between commas, such as 0.9,0.7,0.7, or a CSV file"
        raise UsageError(f"--metrics: {message}. Got '{text}'.") from None


def _column(path: Path, monitor: str) -> list[float | None]:
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.reader(file))
    except (OSError, ValueError) as error:
        raise UsageError(f"--metrics: {path}: cannot be read ({error}).") from error
    header = rows[0] if rows else []
    if monitor in header:
        index, rows = header.index(monitor), rows[1:]
    elif len(header) == 1:
        index, rows = 0, rows if _is_number(header[0]) else rows[1:]
    else:
        raise UsageError(f"--metrics: {path}: has no column '{monitor}'. It has: {', '.join(header) or 'nothing'}.")
    cells = [row[index] if index < len(row) else "" for row in rows]
    wrong = next((cell for cell in cells if cell and not _is_number(cell)), None)
    if wrong is not None:
        raise UsageError(f"--metrics: {path}: column '{header[index]}' holds '{wrong}', which is no number.")
    return [float(cell) if cell else None for cell in cells]


def _is_number(cell: str) -> bool:
    try:
        return not math.isinf(float(cell))
    except ValueError:
        return False


def _mode(plan: Plan, found: dict[str, Any]) -> str:
    """Return the direction of the monitored figure, by Keras's rule."""
    if found["mode"] in ("min", "max"):
        return str(found["mode"])
    name = str(found["monitor"]).removeprefix("val_")
    known = signatures.metric_modes()
    if name == "loss" or name in known:
        return "min" if name == "loss" else known[name]
    message = f"it is not known whether '{found['monitor']}' is to fall or to rise: set its mode to min or max"
    raise UsageError(f"{plan.label}: ReduceLROnPlateau: {message}.")
