"""A figure of several runs' histories on one axis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import BinaryIO

from dltool.output.matplotlib_settings import plain_label
from dltool.output.plots import _canvas


@dataclass(frozen=True)
class Curve:
    """One run's figure over training.

    Args:
        title: the run's name.
        x: epochs, steps or seconds.
        training: a value for each of `x`.
        validation: (x, value) where it was measured.
    """

    title: str
    x: Sequence[float]
    training: Sequence[float]
    validation: Sequence[tuple[float, float]]


def plot_losses(runs: Sequence[Curve], file: BinaryIO, xlabel: str, ylabel: str, form: str = "png") -> None:
    """Draw a colour a run: training solid, validation dashed; the axis is logarithmic where values span decades."""
    figure, axes = _canvas.panels(1, 1, (6.4, 4.2))
    panel = axes[0, 0]
    for index, run in enumerate(runs):
        hue = _canvas.colour(index)
        marker = "o" if len(run.x) < 30 else None
        panel.plot(run.x, run.training, color=hue, label=plain_label(run.title), marker=marker, markersize=3)
        if run.validation:
            label = plain_label(f"{run.title}, validation")
            panel.plot(*zip(*run.validation, strict=True), "--", color=hue, label=label, linewidth=1.2)
    values = [value for run in runs for value in (*run.training, *(y for _, y in run.validation))]
    if values and min(values) > 0 and max(values) / min(values) > 50:
        panel.set_yscale("log")
    panel.set(xlabel=xlabel, ylabel=plain_label(ylabel))
    panel.grid(color="0.9")
    panel.legend(frameon=False, fontsize="small")
    _canvas.save(figure, file, form)
