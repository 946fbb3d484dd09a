"""The cone of feasible weights of a linear classifier, with its samples as arrows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np

from dltool.output.matplotlib_settings import plain_label
from dltool.output.plots import _canvas

MOST_ARROWS = 12  # samples drawn as arrows with their line; more are points


@dataclass(frozen=True)
class Cone:
    """One run's two weights.

    Args:
        title: the run's name.
        names: of the weights: across, up.
        features: (samples, 2).
        signs: (samples,), +1 and -1.
        weights: (2,).
        angles: between which every sample is answered rightly, in radians; equal if there are none.
        note: what the title says of the cone.
    """

    title: str
    names: Sequence[str]
    features: np.ndarray
    signs: np.ndarray
    weights: np.ndarray
    angles: tuple[float, float]
    note: str


def plot_cones(runs: Sequence[Cone], file: BinaryIO, form: str = "png") -> None:
    """Draw a panel a run: the cone shaded, samples as arrows across their lines w . phi(x) = 0, the run's weights."""
    figure, axes = _canvas.panels(1, len(runs), (4.4, 4.4))
    from matplotlib.patches import Wedge

    for run, panel in zip(runs, axes[0], strict=True):
        reach = 1.25 * max(float(np.abs(run.features).max()), float(np.abs(run.weights).max()), 1e-9)
        first, last = np.degrees(run.angles)
        if last > first:
            panel.add_patch(Wedge((0, 0), 3 * reach, first, last, color=_canvas.colour(2), alpha=0.22, linewidth=0,
                                  label="feasible w"))  # fmt: skip
        for sign, hue, word in ((1, _canvas.colour(0), "+1"), (-1, _canvas.colour(1), "-1")):
            own = run.features[run.signs == sign]
            if len(run.features) <= MOST_ARROWS:
                for x in own:
                    across = np.array([-x[1], x[0]]) / max(np.linalg.norm(x), 1e-12) * 3 * reach
                    panel.plot(*np.stack([-across, across], axis=1), color=hue, linewidth=1.0, linestyle="--")
                    panel.annotate("", x, (0, 0), arrowprops={"arrowstyle": "-|>", "color": hue, "linewidth": 1.6})
            panel.scatter(*own.T, 26, color=hue, label=f"phi(x), y = {word}", zorder=3)
        if np.any(run.weights):
            panel.annotate("", run.weights, (0, 0), arrowprops={"arrowstyle": "-|>", "color": "black", "linewidth": 2})
        panel.scatter(*run.weights, 30, color="black", marker="s", label="w of the run", zorder=4)
        panel.axhline(0, color="0.8", linewidth=0.8, zorder=0)
        panel.axvline(0, color="0.8", linewidth=0.8, zorder=0)
        panel.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal")
        panel.set(xlabel=plain_label(run.names[0]), ylabel=plain_label(run.names[1]))
        panel.set_title(plain_label(f"{run.title}: {run.note}"), fontsize="medium")
        _canvas.legend_below(panel, 2)
    _canvas.save(figure, file, form)
