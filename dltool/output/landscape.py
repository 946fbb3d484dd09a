"""Pictures of surfaces: formulas, slices of a loss, spectra, critical points."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np

from dltool.output import matplotlib_settings
from dltool.output.matplotlib_settings import plain_label

LINE, POINT, ACCENT = "#1f77b4", "#d62728", "#d95f02"
COLUMNS = 3  # panels in a row


@dataclass
class Surface:
    """A function of one or two variables on a grid, with points to mark.

    Args:
        title: lines above the panel.
        names: of the variables, one or two.
        axes: the values along each variable.
        values: on their grid, (n,) or (n, m), the first variable first.
        points: to mark, (points, variables); more than one are joined, the last is the end.
        heights: the function there, (points,).
    """

    title: Sequence[str]
    names: Sequence[str]
    axes: Sequence[np.ndarray]
    values: np.ndarray
    points: np.ndarray
    heights: np.ndarray


def plot_surfaces(surfaces: Sequence[Surface], file: BinaryIO, form: str = "png") -> None:
    """Draw curves and surfaces side by side, three in a row.

    Args:
        form: "png" or "svg".
    """
    figure = make_figure(min(len(surfaces), COLUMNS) * 4.2, -(-len(surfaces) // COLUMNS) * 3.9)
    columns = min(len(surfaces), COLUMNS)
    for number, surface in enumerate(surfaces):
        place = (-(-len(surfaces) // COLUMNS), columns, number + 1)
        (_draw_surface if len(surface.axes) == 2 else _draw_curve)(figure, place, surface)
    save(figure, file, form)


def make_figure(width: float, height: float) -> Any:
    """Return a figure of a size in inches that needs no window."""
    matplotlib_settings.load()
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def save(figure: Any, file: BinaryIO, form: str) -> None:
    """Write a figure so that the same picture is the same bytes."""
    import matplotlib

    with matplotlib.rc_context({"svg.hashsalt": "dltool"}):
        figure.savefig(file, format=form, dpi=110, metadata={"Date": None} if form == "svg" else None)


def _draw_surface(figure: Any, place: tuple[int, int, int], surface: Surface) -> None:
    axes = figure.add_subplot(*place, projection="3d", computed_zorder=False)
    x, y = np.meshgrid(*surface.axes, indexing="ij")
    values = np.where(np.isfinite(surface.values), surface.values, np.nan)
    axes.plot_surface(x, y, values, cmap="viridis", linewidth=0, rcount=60, ccount=60, zorder=1)
    low, high = np.nanmin(values), np.nanmax(values)
    floor = low - 0.6 * max(high - low, 1e-12)
    axes.contour(x, y, values, 12, zdir="z", offset=floor, cmap="viridis", linewidths=0.8, zorder=0)
    axes.set_zlim(floor, high)
    if len(surface.points) > 1:
        axes.plot(*surface.points.T, surface.heights, color=POINT, linewidth=1.4, marker=".", zorder=3)
    axes.scatter(*surface.points[-1], surface.heights[-1], color=POINT, s=40, depthshade=False, zorder=4)
    axes.set_xlabel(plain_label(surface.names[0]))
    axes.set_ylabel(plain_label(surface.names[1]))
    axes.tick_params(labelsize=7)
    axes.locator_params(nbins=5)
    axes.set_title("\n".join(map(plain_label, surface.title)), fontsize=10)


def _draw_curve(figure: Any, place: tuple[int, int, int], surface: Surface) -> None:
    axes = figure.add_subplot(*place)
    axes.plot(surface.axes[0], surface.values, color=LINE)
    style = "-" if len(surface.points) > 1 else "none"
    axes.plot(surface.points[:, 0], surface.heights, color=POINT, marker=".", linestyle=style, linewidth=1.2)
    axes.plot(surface.points[-1:, 0], surface.heights[-1:], color=POINT, marker="o")
    axes.set_xlabel(plain_label(surface.names[0]))
    axes.set_title("\n".join(map(plain_label, surface.title)), fontsize=10)
    axes.grid(color="0.9")
