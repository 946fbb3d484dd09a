"""dltool percentiles: what ActivationPercentiles recorded in runs, as a table and as a picture, runs side by side."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dltool.errors import DataError
from dltool.output import tables
from dltool.output.files import PICTURES, check_target, output
from dltool.recipe import reading
from dltool.recipe.values import Value
from dltool.runs import directory as runs
from dltool.runs.directory import RunDirectory

if TYPE_CHECKING:
    import pandas as pd

FILE = runs.PERCENTILES[0]

Rows = list[dict[str, float]]


def run(
    paths: Sequence[Path],
    *,
    file: str,
    plot: Path | None,
    overwrite: bool,
    form: str,
    write: Callable[[str], None],
) -> None:
    """Write how far each percentile moved in each run; CSV and JSON have every row. Draw the runs side by side.

    Args:
        paths: run directories.
        file: the callback's `filename`, below each.
        plot: a PNG or SVG to draw.
    Raises:
        DataError: a run or its file is missing or damaged.
        UsageError: the picture's name has another ending, or it is there already and not to be overwritten.
    """
    check_target("--plot", plot, overwrite, PICTURES)
    series = [(str(path), recorded(RunDirectory(path), file)) for path in paths]
    if plot is not None:
        _draw(plot, paths, series, file)
    report = sections(series)
    if form == "table":
        del report["percentiles"]
    write(tables.render(report, form, "percentiles"))


def recorded(directory: RunDirectory, file: str = FILE) -> Rows:
    """The rows that the callback wrote: step, then percentiles."""
    directory.check_is_run()
    path = directory / file
    if path.exists() and not path.is_file():
        raise DataError(f"{path}: is no file of ActivationPercentiles.")
    absent = " Add ActivationPercentiles to the recipe's fit.callbacks and train again."
    with directory.reading(file, absent), path.open(newline="", encoding="utf-8") as opened:
        rows = [{name: float(value) for name, value in row.items()} for row in csv.DictReader(opened)]
        for row in rows:
            if "step" in row and not row["step"].is_integer():
                raise ValueError(f"step {row['step']} is no whole number")
    if not rows or "step" not in rows[0] or len(rows[0]) < 2:
        raise DataError(f"{path}: is not a file of ActivationPercentiles: it has no rows of step and percentiles")
    return [row | {"step": int(row["step"])} for row in rows]


def sections(series: Sequence[tuple[str, Rows]]) -> dict[str, pd.DataFrame]:
    """For each run and percentile its first and last value and the range between; and every row."""
    import pandas as pd

    moved: list[dict[str, Any]] = []
    for name, rows in series:
        for percentile in (key for key in rows[0] if key != "step"):
            values = [row[percentile] for row in rows]
            moved.append({
                "run": name,
                "steps": rows[-1]["step"],
                "percentile": percentile.removeprefix("p"),
                "first": values[0],
                "lowest": min(values),
                "highest": max(values),
                "last": values[-1],
            })  # fmt: skip
    every = [{"run": name, **row} for name, rows in series for row in rows]
    return {"moved": pd.DataFrame(moved), "percentiles": pd.DataFrame(every)}


def _draw(plot: Path, paths: Sequence[Path], series: Sequence[tuple[str, Rows]], file: str) -> None:
    from dltool.output.percentiles import plot_percentiles

    measured = {_measured(RunDirectory(path), file) for path in paths}
    titles = [path.absolute().name for path in paths]
    panels = [(title, rows) for title, (_, rows) in zip(titles, series, strict=True)]
    with output(plot) as drawn:
        plot_percentiles(panels, drawn, measured.pop() if len(measured) == 1 else "", plot.suffix.lower().lstrip("."))


def _measured(directory: RunDirectory, file: str) -> str:
    """What a run's callback recorded into the file, in words."""
    callbacks: Value | None = reading.load(directory / runs.RECIPE).get("fit", "callbacks")
    for callback in callbacks.plain() or () if callbacks is not None else ():
        body = callback.get("ActivationPercentiles") if isinstance(callback, Mapping) else None
        body = body if isinstance(body, Mapping) else {"layer": body}
        if body["layer"] is not None and body.get("filename", FILE) == file:
            unit = "" if body.get("unit") is None else f", unit {body['unit']}"
            return f"{body.get('signal', 'output')} of {body['layer']}{unit}"
    return ""
