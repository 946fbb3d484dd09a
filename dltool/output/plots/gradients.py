"""How the gradients of squared error and cross-entropy depend on a sample's score, and both losses' landscapes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np

from dltool.output.matplotlib_settings import plain_label
from dltool.output.plots import _canvas

MARKS = {"minimum": "o", "saddle": "X", "maximum": "^"}


@dataclass(frozen=True)
class Surface:
    """A loss over two weights.

    Args:
        name: of the loss.
        axis: (n,), of both weights.
        heights: (n, n), rows up.
        points: critical points (2,) with their kinds.
    """

    name: str
    axis: np.ndarray
    heights: np.ndarray
    points: Sequence[tuple[np.ndarray, str]]

    def count(self, kind: str) -> int:
        """Return how many critical points are of a kind."""
        return sum(found == kind for _, found in self.points)


@dataclass(frozen=True)
class Gradients:
    """One run.

    Args:
        title: the run's name.
        margin: y times the score of the worst classified sample, y = -1 or +1.
        names: of the weights.
        weights: the run's.
        surfaces: of each loss; none unless there are two weights.
    """

    title: str
    margin: float
    names: Sequence[str]
    weights: np.ndarray
    surfaces: Sequence[Surface]


def plot_gradients(runs: Sequence[Gradients], file: BinaryIO, form: str = "png") -> None:
    """Draw a row a run: sizes of both gradients over the margin, the worst sample marked; the losses' contours."""
    columns = 1 + max(len(run.surfaces) for run in runs)
    figure, axes = _canvas.panels(len(runs), columns)
    for run, row in zip(runs, axes, strict=True):
        reach = max(8.0, 1.2 * abs(run.margin))
        margins = np.linspace(-reach, reach, 400)
        panel = row[0]
        for name, sizes, hue in (("squared error", _squared, 1), ("cross-entropy", _crossed, 0)):
            panel.plot(margins, sizes(margins), color=_canvas.colour(hue), label=name)
            panel.plot(run.margin, sizes(np.array(run.margin)), "o", color=_canvas.colour(hue))
        panel.axvline(run.margin, color="0.6", linewidth=0.8, linestyle="--", label="worst sample")
        panel.set(xlabel="margin y w . x (negative: misclassified)", ylabel="|dL / d(w . x)|")
        panel.set_title(plain_label(f"{run.title}: size of the gradient"), fontsize="medium")
        panel.grid(color="0.92")
        panel.legend(frameon=True, framealpha=0.8, fontsize="small", loc="upper right")
        for surface, panel in zip(run.surfaces, row[1:], strict=False):
            shown = panel.contourf(surface.axis, surface.axis, surface.heights, 24, cmap="viridis")
            panel.contour(surface.axis, surface.axis, surface.heights, 24, colors="white", linewidths=0.4, alpha=0.6)
            figure.colorbar(shown, ax=panel)
            panel.plot(*run.weights, "s", color="white", markeredgecolor="black", label="w of the run")
            for kind, mark in MARKS.items():
                points = np.array([point for point, found in surface.points if found == kind])
                if len(points):
                    panel.plot(
                        *points.T, mark, color=_canvas.colour(1), markeredgecolor="white", markersize=9, label=kind
                    )
            panel.set(xlabel=plain_label(run.names[0]), ylabel=plain_label(run.names[1]))
            panel.set_title(surface.name, fontsize="medium")
            panel.legend(frameon=True, framealpha=0.8, fontsize="small", loc="upper left")
        for panel in row[1 + len(run.surfaces) :]:
            panel.set_axis_off()
    _canvas.save(figure, file, form)


def _squared(margins: np.ndarray) -> np.ndarray:
    """Return |q - y| q (1 - q)."""
    wrong = 1 / (1 + np.exp(margins))
    return np.asarray(wrong**2 * (1 - wrong))


def _crossed(margins: np.ndarray) -> np.ndarray:
    """Return |q - y|."""
    return np.asarray(1 / (1 + np.exp(margins)))
