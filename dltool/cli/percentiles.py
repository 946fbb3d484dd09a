"""dltool percentiles: what ActivationPercentiles recorded in runs, as a table and as a picture, runs side by side."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dltool.cli import completion
from dltool.cli.options import Format, FormatOption, OverwriteOption
from dltool.errors import DataError, messages
from dltool.output import tables
from dltool.output.files import PICTURES, check_target, output
from dltool.runs import directory

if TYPE_CHECKING:
    import pandas as pd

    from dltool.recipe.values import Value
    from dltool.runs.opened import OpenedRun

FILE = directory.PERCENTILES[0]

Rows = list[dict[str, float]]


def percentiles(
    runs: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUN",
            help="Run directories whose recipe has ActivationPercentiles.",
            autocompletion=completion.runs,
        ),
    ],
    file: Annotated[str, typer.Option("--file", help="The callback's filename.")] = FILE,
    plot: Annotated[
        Path | None, typer.Option("--plot", help="Draw the runs side by side: FILE.png or FILE.svg.")
    ] = None,
    overwrite: OverwriteOption = False,
    form: FormatOption = Format.table,
) -> None:
    """Show how a layer's activations moved during training, as ActivationPercentiles recorded it; runs side by side."""
    check_target("--plot", plot, overwrite, PICTURES)
    from dltool.runs.opened import OpenedRun

    series = [(str(path), recorded(OpenedRun(path), file)) for path in runs]
    if plot is not None:
        _draw(plot, runs, series, file)
    report = sections(series)
    if form == Format.table:
        del report["percentiles"]
    messages.write(tables.render(report, form, "percentiles"))


def recorded(run: OpenedRun, file: str = FILE) -> Rows:
    """Return the rows that the callback wrote: step, then percentiles."""
    path = run.directory / file
    if path.exists() and not path.is_file():
        raise DataError(f"{path}: is no file of ActivationPercentiles.")
    absent = " Add ActivationPercentiles to the recipe's fit.callbacks and train again."
    with run.directory.reading(file, absent), path.open(newline="", encoding="utf-8") as written:
        rows = [{name: float(value) for name, value in row.items()} for row in csv.DictReader(written)]
        for row in rows:
            if "step" in row and not row["step"].is_integer():
                raise ValueError(f"step {row['step']} is no whole number")
    if not rows or "step" not in rows[0] or len(rows[0]) < 2:
        raise DataError(f"{path}: is not a file of ActivationPercentiles: it has no rows of step and percentiles")
    return [row | {"step": int(row["step"])} for row in rows]


def sections(series: Sequence[tuple[str, Rows]]) -> dict[str, pd.DataFrame]:
    """Return each run's and percentile's first and last value and range; and every row."""
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
    from dltool.runs.opened import OpenedRun

    measured = {_measured(OpenedRun(path), file) for path in paths}
    titles = [path.absolute().name for path in paths]
    panels = [(title, rows) for title, (_, rows) in zip(titles, series, strict=True)]
    with output(plot) as drawn:
        plot_percentiles(panels, drawn, measured.pop() if len(measured) == 1 else "", plot.suffix.lower().lstrip("."))


def _measured(run: OpenedRun, file: str) -> str:
    """Return in words which signal a run's callback recorded into the file."""
    callbacks: Value | None = run.recipe.get("fit", "callbacks")
    for callback in callbacks.plain() or () if callbacks is not None else ():
        body = callback.get("ActivationPercentiles") if isinstance(callback, Mapping) else None
        body = body if isinstance(body, Mapping) else {"layer": body}
        if body["layer"] is not None and body.get("filename", FILE) == file:
            unit = "" if body.get("unit") is None else f", unit {body['unit']}"
            return f"{body.get('signal', 'output')} of {body['layer']}{unit}"
    return ""
