"""Which source pieces a translation's pieces look at: a picture, and shades in a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import BinaryIO

import numpy as np

from dltool.data.tokenizers._sentencepiece import SPACE
from dltool.output import matplotlib_settings
from dltool.output.matplotlib_settings import plain_label

SHADES = " ░▒▓█"  # of attention 0 to 1
CELL = 2  # columns of a terminal a source piece takes


def plot_alignment(weights: np.ndarray, source: Sequence[str], target: Sequence[str], file: BinaryIO) -> None:
    """Draw attention as a grey image, white is 1, as figure 3 of Bahdanau et al., 2015 (lecture slide 140).

    Args:
        weights: (target, source), each row adds up to 1.
        source, target: their pieces.
        file: where the PNG goes.
    """
    matplotlib_settings.load()
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    size = [1.6 + 0.24 * len(source), 1.2 + 0.24 * len(target)]  # inches: labels of one size
    figure = Figure(figsize=(max(size[0], 2.4), max(size[1], 2.0)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    axes.imshow(weights, cmap="gray", vmin=0, vmax=1, aspect="equal")
    axes.xaxis.tick_top()
    axes.set_xticks(range(len(source)), [_plain(piece) for piece in source], rotation=90, fontsize=8)
    axes.set_yticks(range(len(target)), [_plain(piece) for piece in target], fontsize=8)
    axes.tick_params(length=0)
    figure.savefig(file, format="png", dpi=110)


def shaded_alignment(weights: np.ndarray, source: Sequence[str], target: Sequence[str]) -> str:
    """Attention as a table of shades: a row a target piece, the source pieces written downwards above it."""
    from rich.cells import cell_len, set_cell_size

    names = [piece.replace(SPACE, " ").strip() or SPACE for piece in source]
    rows = [piece.replace(SPACE, " ").strip() or SPACE for piece in target]
    margin = max(map(cell_len, rows), default=0) + 1
    height = max(map(len, names), default=0)
    lines = []
    for place in range(height):
        letters = [name[place - height + len(name)] if place >= height - len(name) else " " for name in names]
        lines.append(" " * margin + "".join(set_cell_size(letter, CELL) for letter in letters))
    for name, row in zip(rows, weights, strict=True):
        shades = (SHADES[min(int(value * len(SHADES)), len(SHADES) - 1)] * CELL for value in row)
        lines.append(set_cell_size(name, margin) + "".join(shades))
    return "".join(f"{line.rstrip()}\n" for line in lines)


def _plain(piece: str) -> str:
    """Return a piece as a label."""
    return plain_label(piece.replace(SPACE, "_" if len(piece) == 1 else ""))
