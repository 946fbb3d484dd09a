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


def plot_spectrum(
    eigenvalues: np.ndarray,
    density: tuple[np.ndarray, np.ndarray] | None,
    file: BinaryIO,
    title: str,
    form: str = "png",
) -> None:
    """Draw how eigenvalues are distributed, on a logarithmic axis, the negative ones in red.

    Args:
        eigenvalues: all, or the extreme ones, ascending.
        density: eigenvalues and the density there; None: a histogram of `eigenvalues` is drawn.
    """
    figure = make_figure(7.5, 4.4)
    axes = figure.add_subplot()
    if density is None:
        edges = np.linspace(min(eigenvalues[0], 0.0), max(eigenvalues[-1], 0.0) or 1.0, 101)
        edges -= edges[np.argmin(np.abs(edges))]  # no bin holds both signs
        edges = np.append(edges, edges[-1] + edges[1] - edges[0])
        edges = np.insert(edges, 0, edges[0] - (edges[2] - edges[1]))
        for colour, values, label in (
            (LINE, eigenvalues[eigenvalues >= 0], "not negative"),
            (POINT, eigenvalues[eigenvalues < 0], "negative"),
        ):
            if len(values):
                axes.hist(values, edges, color=colour, label=f"{len(values):,} {label}")
        axes.set_ylabel("eigenvalues")
    else:
        grid, values = density
        for colour, part, label in ((LINE, grid >= 0, "density"), (POINT, grid <= 0, "density below 0")):
            if part.any():
                axes.fill_between(grid[part], values[part], 1e-300, color=colour, alpha=0.3)
                axes.plot(grid[part], values[part], color=colour, label=label)
        axes.plot(eigenvalues, np.full(len(eigenvalues), values.max() * 3e-7), "|", color="0.2", label="by Lanczos")
        axes.set_ylim(values.max() * 1e-7, values.max() * 3)
        axes.set_ylabel("density")
    axes.set_yscale("log")
    axes.axvline(0, color="0.6", linewidth=0.8, linestyle="--")
    axes.set_xlabel("eigenvalue")
    axes.set_title(plain_label(title), fontsize=11)
    axes.grid(color="0.9")
    axes.set_axisbelow(True)
    axes.legend(frameon=False)
    save(figure, file, form)


def plot_line(
    steps: np.ndarray,
    losses: np.ndarray,
    file: BinaryIO,
    title: str,
    label: str,
    form: str = "png",
    ends: Sequence[float] = (),
) -> None:
    """Draw the loss along a line.

    Args:
        label: of the horizontal axis.
        ends: two places to mark and to join by a straight line; by default 0 is marked.
    """
    figure = make_figure(6.5, 4.2)
    axes = figure.add_subplot()
    axes.plot(steps, losses, color=LINE, label="loss")
    marked = list(ends) or [0.0]
    heights = np.interp(marked, steps, losses)
    style = "--" if ends else "none"
    axes.plot(marked, heights, color=POINT, marker="o", linestyle=style, label="runs" if ends else "weights")
    if losses.min() > 0 and losses.max() / losses.min() > 50:
        axes.set_yscale("log")
    axes.set_xlabel(label)
    axes.set_ylabel("loss")
    axes.set_title(plain_label(title), fontsize=11)
    axes.grid(color="0.9")
    axes.legend(frameon=False)
    save(figure, file, form)


def plot_plane(steps: np.ndarray, plane: np.ndarray, file: BinaryIO, title: str, form: str = "png") -> None:
    """Draw the loss on a plane, as contours and as a surface.

    Args:
        steps: along each direction, (n,).
        plane: the loss, (n, n), the first direction first.
    """
    figure = make_figure(9.6, 4.6)
    figure.suptitle(plain_label(title), fontsize=11)
    axes = figure.add_subplot(1, 2, 1)
    drawn = axes.contourf(steps, steps, plane.T, 25, cmap="viridis")
    axes.contour(steps, steps, plane.T, 25, colors="white", linewidths=0.4)
    axes.plot(0, 0, marker="o", color=POINT)
    axes.set_xlabel("a")
    axes.set_ylabel("b")
    axes.set_aspect("equal")
    figure.colorbar(drawn, ax=axes, label="loss")
    middle = (np.interp(0.0, steps, [np.interp(0.0, steps, row) for row in plane]),)
    _draw_surface(
        figure, (1, 2, 2), Surface([""], ["a", "b"], [steps, steps], plane, np.zeros((1, 2)), np.array(middle))
    )
    save(figure, file, form)


def plot_spread(
    values: Sequence[str], losses: Sequence[np.ndarray], file: BinaryIO, title: str, key: str, form: str = "png"
) -> None:
    """Draw the final losses of trainings for each value of a key: a dot each, their mean and standard deviation.

    Args:
        losses: of each value, (trainings,).
        key: label of the axis of values.
    """
    figure = make_figure(7, 4.4)
    axes = figure.add_subplot()
    for place, found in enumerate(losses):
        apart = np.linspace(-0.12, 0.12, len(found)) if len(found) > 1 else np.zeros(1)
        label = "a training" if place == 0 else None
        axes.plot(place + apart, found, marker="o", linestyle="none", color=LINE, alpha=0.6, markersize=4, label=label)
        label = "mean and standard deviation" if place == 0 else None
        axes.errorbar(
            place + 0.25, found.mean(), found.std(ddof=1), color=POINT, marker="s", capsize=4, markersize=4, label=label
        )
    axes.set_xticks(range(len(values)), [plain_label(value) for value in values])
    axes.set_xlim(-0.5, len(values) - 0.5)
    axes.set_xlabel(plain_label(key))
    axes.set_ylabel("loss")
    axes.set_title(plain_label(title), fontsize=11)
    axes.grid(color="0.9", axis="y")
    axes.legend(frameon=False)
    save(figure, file, form)


def plot_critical_points(
    points: Sequence[tuple[float, float, str, np.ndarray]], file: BinaryIO, title: str, form: str = "png"
) -> None:
    """Draw the index of critical points over their loss, and the eigenvalues of three of them (slide 64).

    Args:
        points: alpha, loss, kind, eigenvalues of each.
    """
    figure = make_figure(10.5, 4.4)
    figure.suptitle(plain_label(title), fontsize=11)
    axes = figure.add_subplot(1, 2, 1)
    for kind, colour, marker in (("saddle", LINE, "o"), ("minimum", POINT, "s"), ("degenerate", "0.5", "x")):
        chosen = [(alpha, loss) for alpha, loss, name, _ in points if name == kind]
        if chosen:
            label = f"{len(chosen)} {kind}" + ("" if kind == "degenerate" or len(chosen) == 1 else "s")
            label = label.replace("minimums", "minima")
            axes.scatter(*zip(*chosen, strict=True), color=colour, marker=marker, s=26, label=label)
    axes.set_xlabel("index alpha: share of negative eigenvalues")
    axes.set_ylabel("loss")
    axes.grid(color="0.9")
    if points:
        axes.legend(frameon=False)
    axes = figure.add_subplot(1, 2, 2)
    ordered = sorted(points, key=lambda point: point[1])
    few = [ordered[n] for n in sorted({0, len(ordered) // 2, len(ordered) - 1})] if ordered else []
    for (alpha, loss, _, values), colour, style in zip(few, (POINT, ACCENT, LINE), ("-", "--", ":"), strict=False):
        heights = np.arange(1, len(values) + 1) / len(values)
        axes.plot(values, heights, color=colour, linestyle=style, label=f"loss {loss:.3g}, alpha {alpha:.3g}")
    axes.axvline(0, color="0.6", linewidth=0.8)
    axes.set_xscale("symlog", linthresh=1e-2)
    axes.set_xlabel("eigenvalue")
    axes.set_ylabel("share of eigenvalues below")
    axes.grid(color="0.9")
    if few:
        axes.legend(frameon=False, loc="upper left")
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
