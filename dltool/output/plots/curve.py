"""The curve that a regression of one input has fitted, with its data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np

from dltool.output.matplotlib_settings import plain_label
from dltool.output.plots import _canvas

MARKERS = {"train": "o", "validation": "^", "test": "x"}


@dataclass(frozen=True)
class Fit:
    """One run's curve.

    Args:
        title: the run's name.
        x, y: (n,), the curve.
        data: split -> its inputs and targets, (examples,) each.
    """

    title: str
    x: np.ndarray
    y: np.ndarray
    data: Mapping[str, tuple[np.ndarray, np.ndarray]]


def plot_curves(runs: Sequence[Fit], file: BinaryIO, form: str = "png") -> None:
    """Draw a panel a run, all on the same axes."""
    figure, axes = _canvas.panels(1, len(runs), sharex=True, sharey=True)
    targets = np.concatenate([y for run in runs for _, y in run.data.values()])
    margin = 0.25 * max(np.ptp(targets), 1e-9)
    for run, panel in zip(runs, axes[0], strict=True):
        for name, (x, y) in run.data.items():
            count = len(x)
            size = 16 if count <= 100 else 6
            panel.scatter(x, y, size, color="0.45" if name == "train" else _canvas.colour(4), linewidths=0.8,
                          marker=MARKERS.get(name, "."), label=f"{name} ({count})", alpha=0.8, zorder=2.5)  # fmt: skip
        panel.plot(run.x, run.y, color=_canvas.colour(0), linewidth=1.6, label="model", zorder=3)
        panel.set(xlabel="input", ylim=(targets.min() - margin, targets.max() + margin))
        panel.set_title(plain_label(run.title))
        panel.grid(color="0.92")
        _canvas.legend_below(panel, len(run.data) + 1)
    axes[0, 0].set_ylabel("target")
    _canvas.save(figure, file, form)
