"""What the pictures of runs have in common: a figure with panels, colours, the form of the file."""

from __future__ import annotations

from typing import Any, BinaryIO

from dltool.output import matplotlib_settings

# Okabe & Ito, 2008: distinguishable with every common colour blindness
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#F0E442")
PANEL = (4.2, 3.6)  # inches


def panels(rows: int, columns: int, size: tuple[float, float] = PANEL, **options: Any) -> tuple[Any, Any]:
    """Return a figure and its axes, an array (rows, columns).

    Args:
        size: of a panel, in inches (wide, high).
        options: of matplotlib's `Figure.subplots`.
    """
    matplotlib_settings.load()
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(0.3 + size[0] * columns, 0.3 + size[1] * rows), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.subplots(rows, columns, squeeze=False, **options)


def colour(index: int) -> str:
    """Return the colour of a series."""
    return COLOURS[index % len(COLOURS)]


def legend_below(axes: Any, entries: int) -> None:
    """Put a panel's legend below it, in one row if it has few entries, so that it hides no data."""
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.14), ncols=min(entries, 4), frameon=False, fontsize="small")


def save(figure: Any, file: BinaryIO, form: str) -> None:
    """Write a figure as "png" or "svg"."""
    figure.savefig(file, format=form, dpi=110)
