"""Precision of a detector over recall, a curve for each class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np

from dltool.output.matplotlib_settings import plain_label
from dltool.output.plots import _canvas

RECALLS = np.linspace(0, 1, 101)  # as COCO reads them


@dataclass(frozen=True)
class Curves:
    """One run's curves.

    Args:
        title: the run's name.
        classes: name -> the largest precision at each of `RECALLS` or beyond, (101,), 0 where it is never reached.
    """

    title: str
    classes: Mapping[str, np.ndarray]


def plot_precision(runs: Sequence[Curves], file: BinaryIO, form: str = "png") -> None:
    """Draw a panel a run."""
    figure, axes = _canvas.panels(1, len(runs), sharex=True, sharey=True)
    for run, panel in zip(runs, axes[0], strict=True):
        for number, (name, precision) in enumerate(run.classes.items()):
            reached = precision > 0
            label = f"{plain_label(name)} ({precision.mean():.2f})"
            panel.plot(RECALLS[reached], precision[reached], color=_canvas.colour(number), linewidth=1.6, label=label)
        panel.set(xlabel="recall", xlim=(0, 1.01), ylim=(0, 1.03))
        panel.set_title(plain_label(run.title))
        panel.grid(color="0.92")
        _canvas.legend_below(panel, len(run.classes))
    axes[0, 0].set_ylabel("precision")
    _canvas.save(figure, file, form)
