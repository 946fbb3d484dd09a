"""A figure of the histories of several runs on one axis."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, BinaryIO

from dltool.errors import DataError, UsageError, suggest_or_list
from dltool.runs import directory
from dltool.runs.plots import Options, titles

if TYPE_CHECKING:
    from dltool.runs.opened import OpenedRun

TAKES = ("figure", "over")
AXES = {"epoch": "epoch", "step": "step", "seconds": "seconds of training"}


def draw(runs: Sequence[OpenedRun], options: Options, file: BinaryIO, form: str) -> list[dict[str, Any]]:
    """Draw a curve a run; return its last and best value."""
    from dltool.output.plots.loss import Curve, plot_losses

    figure, over = options.figure or "loss", options.over or "epoch"
    if over not in AXES:
        raise UsageError(f"--over {over}: must be one of {', '.join(AXES)}.")
    curves, table = [], []
    for run, title in zip(runs, titles(runs), strict=True):
        rows = _history(run)
        if not any(figure in row for row in rows):
            names = dict.fromkeys(name for row in rows for name in row)
            known = [name for name in names if name not in AXES and not name.startswith("val_")]
            raise UsageError(f"--figure {figure}: {run} has none.{suggest_or_list(figure, known, 'It has')}")
        rows = [row for row in rows if figure in row]  # stages of Greedy have figures of their own
        validation = f"val_{figure}"
        pairs = [(row[over], row[validation]) for row in rows if validation in row]
        curves.append(Curve(title, [row[over] for row in rows], [row[figure] for row in rows], pairs))
        values = [row[figure] for row in rows]
        table.append({"run": str(run), "epochs": len(rows), "steps": int(rows[-1]["step"]), "figure": figure,
                      "last": values[-1], "lowest": min(values), "highest": max(values),
                      "last_validation": pairs[-1][1] if pairs else None})  # fmt: skip
    plot_losses(curves, file, AXES[over], figure, form)
    return table


def _history(run: OpenedRun) -> list[dict[str, float]]:
    """Return the rows of a run's history.csv, at least one."""
    with (
        run.directory.reading(directory.HISTORY),
        (run.directory / directory.HISTORY).open(newline="", encoding="utf-8") as file,
    ):
        rows = [{name: float(cell) for name, cell in row.items() if cell} for row in csv.DictReader(file)]
    if not rows or not {"epoch", "step"} <= rows[0].keys():
        raise DataError(f"{run.directory / directory.HISTORY}: has no rows of epoch and step. Train again.")
    return rows
