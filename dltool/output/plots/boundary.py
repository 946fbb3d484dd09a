"""Regions of a plane in which a classifier of two inputs answers the same class, with its data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np

from dltool.output.matplotlib_settings import plain_label
from dltool.output.plots import _canvas

MARKERS = "osD^vP*X"


@dataclass(frozen=True)
class Regions:
    """One run's answers in the plane of its two inputs.

    Args:
        title: the run's name.
        axes: names of the inputs: across, up.
        across, up: (columns,) and (rows,), where it was asked.
        answers: (rows, columns), class indices.
        points: (examples, 2), the data.
        labels, predicted: (examples,), their classes and the run's answers, as indices.
        classes: names.
        missed: what the title says of wrong answers, such as "3 of 200 wrong".
    """

    title: str
    axes: tuple[str, str]
    across: np.ndarray
    up: np.ndarray
    answers: np.ndarray
    points: np.ndarray
    labels: np.ndarray
    predicted: np.ndarray
    classes: Sequence[str]
    missed: str


def plot_regions(runs: Sequence[Regions], file: BinaryIO, form: str = "png") -> None:
    """Draw a panel a run: regions shaded, boundaries as lines, examples by class, wrong ones ringed."""
    figure, axes = _canvas.panels(1, len(runs), (4.4, 4.0))
    from matplotlib.colors import ListedColormap

    for run, panel in zip(runs, axes[0], strict=True):
        count, size = len(run.classes), 18 if len(run.points) > 20 else 60
        shades = ListedColormap([_canvas.colour(index) for index in range(count)])
        panel.pcolormesh(run.across, run.up, run.answers, cmap=shades, vmin=-0.5, vmax=count - 0.5, alpha=0.22,
                         linewidth=0, rasterized=True)  # fmt: skip
        for index in range(count):
            inside = (run.answers == index).astype(float)
            if 0 < inside.mean() < 1:
                panel.contour(run.across, run.up, inside, levels=[0.5], colors="0.2", linewidths=1.0)
            own = run.points[run.labels == index]
            panel.scatter(*own.T, size, color=_canvas.colour(index), marker=MARKERS[index % len(MARKERS)],
                          edgecolors="white", linewidths=0.4, label=plain_label(run.classes[index]))  # fmt: skip
        wrong = run.points[run.labels != run.predicted]
        if len(wrong):
            panel.scatter(*wrong.T, 4 * size, facecolors="none", edgecolors="black", linewidths=1.0, label="wrong")
        panel.set(xlabel=plain_label(run.axes[0]), ylabel=plain_label(run.axes[1]))
        panel.set(xlim=(run.across[0], run.across[-1]), ylim=(run.up[0], run.up[-1]))
        panel.set_title(plain_label(f"{run.title}: {run.missed}"), fontsize="medium")
        _canvas.legend_below(panel, count + bool(len(wrong)))
    _canvas.save(figure, file, form)
