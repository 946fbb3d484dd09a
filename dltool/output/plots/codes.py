"""Points of a plane coloured by class, a panel for each way to place them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np

from dltool.output.matplotlib_settings import plain_label
from dltool.output.plots import _canvas


@dataclass(frozen=True)
class Codes:
    """Examples in a plane.

    Args:
        title: what places them.
        places: (examples, 2).
        labels: (examples,), class indices.
        classes: their names.
        note: such as "nearest of the same class: 71.2 %".
    """

    title: str
    places: np.ndarray
    labels: np.ndarray
    classes: Sequence[str]
    note: str


def plot_codes(panels_of: Sequence[Codes], file: BinaryIO, form: str = "png") -> None:
    """Draw two panels a row: each example a dot, each class's name at the median of its examples."""
    rows = -(-len(panels_of) // 2)
    figure, axes = _canvas.panels(rows, min(len(panels_of), 2), (5.4, 5.2))
    from matplotlib import colormaps
    from matplotlib.patheffects import withStroke

    for codes, panel in zip(panels_of, axes.ravel(), strict=False):
        hues = colormaps["tab10" if len(codes.classes) <= 10 else "tab20"]
        for index, name in enumerate(codes.classes):
            own = codes.places[codes.labels == index]
            if not len(own):
                continue
            hue = hues(index % hues.N)
            panel.scatter(*own.T, 7, color=hue, linewidths=0, label=plain_label(name))
            panel.text(*np.median(own, axis=0), plain_label(name), ha="center", va="center", fontsize="large",
                       fontweight="bold", path_effects=[withStroke(linewidth=3, foreground="white")])  # fmt: skip
        panel.set(xlabel="first", ylabel="second")
        panel.legend(loc="upper center", bbox_to_anchor=(0.5, -0.1), ncols=10, frameon=False, markerscale=2.5,
                     handletextpad=0, columnspacing=0.6)  # fmt: skip
        panel.set_title("\n".join(map(plain_label, (codes.title, codes.note))), fontsize="medium")
    _canvas.save(figure, file, form)
