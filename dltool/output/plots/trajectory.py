"""The path of two weights over the contours of the loss, and the loss over iterations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np

from dltool.output.matplotlib_settings import plain_label
from dltool.output.plots import _canvas

LEVELS = 16  # contours
PATH, START, END = "#D55E00", "#000000", "#0072B2"


@dataclass(frozen=True)
class Trajectory:
    """One run's path.

    Args:
        title: the run's name.
        axes: names of the two weights: across, up.
        points: (n, 2), the weights at each recorded step.
        steps: (n,).
        losses: (n,), the training loss at each point.
        across, up: (columns,) and (rows,), where the surface is given.
        surface: (rows, columns), the training loss at each place.
    """

    title: str
    axes: tuple[str, str]
    points: np.ndarray
    steps: np.ndarray
    losses: np.ndarray
    across: np.ndarray
    up: np.ndarray
    surface: np.ndarray


def plot_trajectories(runs: Sequence[Trajectory], file: BinaryIO, form: str = "png") -> None:
    """Draw a column a run: the path over contours, below it log10 of the loss, as lecture slides 68-74 do."""
    alone = len(runs) == 1
    figure, axes = _canvas.panels(*((1, 2) if alone else (2, len(runs))))
    from matplotlib.ticker import MaxNLocator

    maps, curves = (axes[0, :1], axes[0, 1:]) if alone else axes
    logs = [np.log10(np.maximum(run.losses, np.finfo(np.float32).tiny)) for run in runs]
    low, high = min(one.min() for one in logs), max(one.max() for one in logs)
    margin = 0.05 * max(high - low, 0.1)
    for run, log, plane, curve in zip(runs, logs, maps, curves, strict=True):
        _draw_map(plane, run)
        curve.plot(run.steps, log, color=PATH, linewidth=0.9)
        curve.set(xlabel="step", ylabel="log10 J", ylim=(low - margin, high + margin))
        curve.xaxis.set_major_locator(MaxNLocator(nbins=5, integer=True))
        curve.grid(color="0.9")
        curve.margins(x=0.02)
    _canvas.save(figure, file, form)


def _draw_map(axes: Any, run: Trajectory) -> None:
    from matplotlib.colors import LogNorm

    floor = max(run.surface.min(), run.surface.max() * 1e-4, np.finfo(np.float32).tiny)
    ceiling = max(run.surface.max(), floor * 10)
    norm, levels = LogNorm(floor, ceiling), np.geomspace(floor, ceiling, LEVELS)
    surface = np.maximum(run.surface, floor)
    axes.contourf(run.across, run.up, surface, levels=levels, norm=norm, cmap="Greys", alpha=0.5, extend="both")
    axes.contour(run.across, run.up, surface, levels=levels, norm=norm, colors="0.45", linewidths=0.5)
    axes.plot(*run.points.T, color=PATH, linewidth=0.9, marker=".", markersize=2.5, label="path")
    axes.plot(*run.points[0], "o", color=START, markersize=6, label="start")
    axes.plot(*run.points[-1], "*", color=END, markersize=11, markeredgecolor="white", label="end")
    span = [np.ptp(run.across), np.ptp(run.up)]
    if max(span) < 5 * min(span):
        axes.set_aspect("equal")
    axes.set(xlabel=plain_label(run.axes[0]), ylabel=plain_label(run.axes[1]))
    axes.set(xlim=(run.across[0], run.across[-1]), ylim=(run.up[0], run.up[-1]))
    axes.set_title(plain_label(run.title))
    axes.legend(frameon=True, framealpha=0.8, fontsize="small", loc="lower right")
