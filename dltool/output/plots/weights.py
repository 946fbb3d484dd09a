"""The weights of one layer of each run: stems, or a map where it has several units."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np

from dltool.output.matplotlib_settings import plain_label
from dltool.output.plots import _canvas

MOST_UNITS = 4  # drawn as stems side by side; more are a map


@dataclass(frozen=True)
class Weights:
    """One run's layer.

    Args:
        title: the run's name.
        layer: the layer's name.
        kernel: (inputs, units).
        note: such as "norm 0.62, 21 of 30 are 0".
    """

    title: str
    layer: str
    kernel: np.ndarray
    note: str


def plot_weights(runs: Sequence[Weights], file: BinaryIO, form: str = "png") -> None:
    """Draw a panel a run, on one scale."""
    largest = max(float(np.abs(run.kernel).max(initial=0.0)) for run in runs) or 1.0
    figure, axes = _canvas.panels(1, len(runs), (4.6, 3.4))
    for run, panel in zip(runs, axes[0], strict=True):
        inputs, units = run.kernel.shape
        if units > MOST_UNITS:
            shown = panel.imshow(run.kernel.T, cmap="RdBu_r", vmin=-largest, vmax=largest, aspect="auto",
                                 interpolation="nearest")  # fmt: skip
            figure.colorbar(shown, ax=panel)
            panel.set(xlabel="input", ylabel="unit")
        else:
            for unit in range(units):
                at = np.arange(inputs) + (unit - (units - 1) / 2) * 0.8 / units
                hue = _canvas.colour(unit)
                panel.vlines(at, 0, run.kernel[:, unit], color=hue, linewidth=1.4)
                zero = run.kernel[:, unit] == 0
                panel.plot(at[~zero], run.kernel[~zero, unit], "o", color=hue, markersize=3.5, label=f"unit {unit}")
                panel.plot(at[zero], run.kernel[zero, unit], "o", color=hue, markersize=3.5, fillstyle="none")
            panel.axhline(0, color="0.5", linewidth=0.8)
            panel.set(xlabel="input", ylabel="weight", ylim=(-1.1 * largest, 1.1 * largest))
            panel.grid(color="0.92", axis="y")
            if units > 1:
                panel.legend(frameon=False, fontsize="small")
        panel.set_title("\n".join(map(plain_label, (f"{run.title}: {run.layer}", run.note))), fontsize="medium")
    _canvas.save(figure, file, form)
