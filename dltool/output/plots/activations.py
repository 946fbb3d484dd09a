"""Activation functions with their derivatives, a panel each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np

from dltool.output.matplotlib_settings import plain_label
from dltool.output.plots import _canvas

COLUMNS = 4  # of panels


@dataclass(frozen=True)
class Curves:
    """One run's function.

    Args:
        title: the run's name.
        name: of the layer and its function.
        z: (points,), rising.
        values, slopes: f(z) and f'(z) of each unit, (points, units).
    """

    title: str
    name: str
    z: np.ndarray
    values: np.ndarray
    slopes: np.ndarray


def plot_activations(runs: Sequence[Curves], file: BinaryIO, form: str = "png") -> None:
    """Draw f and, dashed, f' of each run, on axes of equal scale across; units that differ are a band."""
    columns = min(len(runs), COLUMNS)
    rows = -(-len(runs) // columns)
    figure, axes = _canvas.panels(rows, columns, (3.2, 2.9), sharex=True)
    for run, panel in zip(runs, axes.flat, strict=False):
        panel.axhline(0, color="0.7", linewidth=0.8)
        panel.axvline(0, color="0.7", linewidth=0.8)
        for curves, hue, style, label in ((run.values, 0, "-", "f(z)"), (run.slopes, 1, "--", "f'(z)")):
            low, high = curves.min(axis=1), curves.max(axis=1)
            if (high - low).max() > 1e-6:
                panel.fill_between(run.z, low, high, color=_canvas.colour(hue), alpha=0.2, linewidth=0)
            panel.plot(run.z, curves.mean(axis=1), style, color=_canvas.colour(hue), label=label, linewidth=1.6)
        panel.set_title("\n".join(map(plain_label, (run.title, run.name))), fontsize="medium")
        panel.grid(color="0.93")
    for panel in axes.flat[len(runs) :]:
        panel.set_axis_off()
    axes.flat[0].legend(frameon=False, fontsize="small", loc="upper left")
    for panel in axes.flat[max(0, len(runs) - columns) : len(runs)]:
        panel.set_xlabel("z")
        panel.tick_params(labelbottom=True)
    _canvas.save(figure, file, form)
