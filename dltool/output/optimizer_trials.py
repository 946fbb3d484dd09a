"""The share of the loss that optimizers leave of small problems, as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import BinaryIO

import numpy as np

from dltool.output import matplotlib_settings
from dltool.output.matplotlib_settings import plain_label

SHOWN = (1e-4, 10.0)  # shares that the colours span
LOW, HIGH = 1e-2, 1.0  # darker colours a decade below and above are written over in white
ZERO = 1e-9  # smaller shares are written as 0


def plot_shares(
    optimizers: Sequence[str], problems: Sequence[str], left: np.ndarray, file: BinaryIO, form: str = "png"
) -> None:
    """Draw shares (optimizers, problems): blue solved, red worse than the start; infinite ones are crossed.

    A row is an optimizer, a column a problem.

    Args:
        left: the loss that is left, of the loss at the start.
        file: where the picture goes.
        form: "png" or "svg".
    """
    matplotlib_settings.load()
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.colors import LogNorm
    from matplotlib.figure import Figure

    names = 0.1 * max(map(len, optimizers))  # inches
    size = (1.5 + names + 0.62 * len(problems), 1.6 + 0.42 * len(optimizers))
    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    clipped = np.clip(left, *SHOWN)
    shown = axes.imshow(clipped, norm=LogNorm(*SHOWN), cmap="RdYlBu_r", aspect="auto")
    for row, values in enumerate(left):
        for column, value in enumerate(values):
            text = "×" if not np.isfinite(value) else "0" if value < ZERO else f"{value:.{1 if value < LOW else 2}g}"
            dark = value < LOW / 10 or value > HIGH
            axes.text(column, row, text.replace("e-0", "e-"), ha="center", va="center", fontsize=6.5,
                      color="white" if dark else "black")  # fmt: skip
    axes.set_xticks(range(len(problems)), [plain_label(name) for name in problems], rotation=40, ha="right")
    axes.set_yticks(range(len(optimizers)), [plain_label(name) for name in optimizers])
    axes.tick_params(length=0)
    figure.colorbar(shown, ax=axes, label="share of the loss left", pad=0.01)
    figure.savefig(file, format=form, dpi=130)
