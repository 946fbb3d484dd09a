"""A picture of training: loss, metrics and learning rate over epochs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import BinaryIO

from dltool.output import matplotlib_settings
from dltool.output.matplotlib_settings import plain_label

AXIS_COLUMNS = ("epoch", "step", "seconds", "stage")
SCHEDULED = ("learning_rate", "momentum", "beta_1", "weight_decay")  # of the optimizer: one curve, no validation
TRAINING, VALIDATION = "#1f77b4", "#d95f02"  # distinguishable with every common colour blindness


def plot_history(rows: Sequence[Mapping[str, float]], file: BinaryIO, title: str, selected: int | None = None) -> None:
    """Draw the history as PNG.

    Args:
        rows: a row an epoch, as history.csv has them.
        file: where the PNG goes.
        title: the run's name.
        selected: the epoch of the selected model, marked by a line.
    """
    matplotlib_settings.load()
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    names = list(dict.fromkeys(name for row in rows for name in row))
    measured = [name for name in names if name not in (*AXIS_COLUMNS, *SCHEDULED) and not name.startswith("val_")]
    panels = [*measured, *(name for name in SCHEDULED if name in names)]
    columns = min(len(panels), 3)
    lines = -(-len(panels) // columns)
    figure = Figure(figsize=(4.2 * columns, 3.2 * lines), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(plain_label(title))
    for index, name in enumerate(panels):
        axes = figure.add_subplot(lines, columns, index + 1)
        series = [(name, "training", TRAINING), (f"val_{name}", "validation", VALIDATION)]
        for column, label, colour in series:
            points = _points(rows, column)
            if points:
                marker = "o" if len(points) < 30 else None
                axes.plot(*zip(*points, strict=True), color=colour, label=label, marker=marker, markersize=3)
        if selected is not None:
            axes.axvline(selected, color="0.6", linewidth=1, linestyle="--", label="selected")
        values = [row[name] for row in rows if row.get(name) is not None]
        if values and min(values) > 0 and max(values) / min(values) > 50:
            axes.set_yscale("log")
        axes.set_title(plain_label(name.replace("_", " ")))
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(color="0.9")
        if name not in SCHEDULED:
            axes.legend(frameon=False)
    for index in range(len(panels), lines * columns):
        figure.add_subplot(lines, columns, index + 1).axis("off")
    figure.savefig(file, format="png", dpi=110)


def _points(rows: Sequence[Mapping[str, float]], column: str) -> list[tuple[float, float]]:
    """Return epochs and values of a column, with a gap between stages of pre-training: each is of another layer."""
    points: list[tuple[float, float]] = []
    stage = None
    for row in rows:
        if row.get(column) is None:
            continue
        if points and row.get("stage") != stage and "loss" not in row and column not in SCHEDULED:
            points.append((row["epoch"], float("nan")))
        points.append((row["epoch"], row[column]))
        stage = row.get("stage")
    return points
