"""Sheets of what each unit answers to: its maximised image, its deconvnet picture and the data's strongest patches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from dltool.filters.maximised_pictures import Target
from dltool.filters.patches import cropped, window
from dltool.filters.strongest import Strongest
from dltool.filters.unit_deconvnet import deconvnet
from dltool.output.picture import Picture, file_name
from dltool.output.pixels import PixelRange, shown, signed
from dltool.output.sheet import Tile, sheet


def top_picture(
    model: Any,
    target: Target,
    best: Strongest,
    images: np.ndarray,
    labels: np.ndarray | None,
    maximised: Sequence[np.ndarray],
    activations: np.ndarray,
    pixels: PixelRange,
) -> tuple[Picture, list[dict[str, Any]]]:
    """Draw one row of tiles per unit, and return one row of the table each.

    Args:
        best: of all units of the layer.
        images: the examples, (units, count, *shape), in the order of `best`.
        labels: the examples' classes in words, (units, count); None if targets are no classes.
        maximised: each unit's image, already cut to the part that it sees.
        activations: of the maximised images, (units,).
    Reference: Yosinski et al., 2015, Understanding neural networks through deep visualization (the toolbox);
        Zeiler & Fergus, 2014, figure 2 (patches next to their projections).
    """
    units, count = list(target.units), images.shape[1]
    first, rectifies = deconvnet(model, target.path, images[:, 0], np.asarray(units), best.positions[units, 0])
    sheet_rows, rows, heads = [], [], []
    beyond = pixels.mean.astype(np.float32)
    for number, unit in enumerate(units):
        at = [window(target.fields, best.positions[unit, k], images.shape[2:-1]) for k in range(count)]
        back = cropped(first[number], at[0], 0)
        limit = float(np.abs(back).max())
        tiles = [Tile(shown(maximised[number], pixels), f"{activations[number]:.2f}"), Tile(_gradient(back, limit))]
        for k in range(count):
            word = "" if labels is None else f"\n{labels[number, k]}"
            patch = shown(cropped(images[number, k].astype(np.float32), at[k], beyond), pixels)
            tiles.append(Tile(patch, f"{best.values[unit, k]:.2f}{word}"))
        sheet_rows.append(tiles)
        heads.append(target.label(unit))
        rows.append(_row(target, unit, best, float(activations[number]), None if labels is None else labels[number]))
    title = f"{target.path}: what its units answer to most"
    word = "deconvnet" if rectifies else "gradient"
    notes = [f"the {count} strongest patches of {best.seen:,} training images, at most one an image; below them the "
             "activation before the nonlinearity" + (" and the class" if labels is not None else ""),
             f"{word} of the strongest patch; grey is 0" + ("" if rectifies else ": the net has no ReLU")]  # fmt: skip
    columns = ["maximised", word, *(str(k + 1) for k in range(count))]
    drawn = sheet(title, sheet_rows, notes=notes, row_labels=heads, column_labels=columns, size=64)
    small = [tile.pixels for row in sheet_rows for tile in row]
    return Picture(file_name("top", target.path), title, drawn, small), rows


def _gradient(back: np.ndarray, limit: float) -> np.ndarray:
    """Draw gradients of images (rows, columns, channels) or signals (positions, channels) about grey."""
    drawn = signed(back, limit)
    return shown(drawn.astype(np.float32), PixelRange(0, 255, np.zeros(1), 0))


def _row(target: Target, unit: int, best: Strongest, activation: float, labels: np.ndarray | None) -> dict[str, Any]:
    row: dict[str, Any] = {"layer": target.path, "unit": unit}
    row |= {} if target.names is None else {"class": target.names[unit]}
    row |= {"strongest": float(best.values[unit, 0]), "weakest_shown": float(best.values[unit, -1])}
    row |= {"maximised": activation, "examples": " ".join(map(str, best.examples[unit]))}
    if labels is not None:
        words, counts = np.unique(labels, return_counts=True)
        row |= {"commonest_class": str(words[counts.argmax()]), "of_that_class": int(counts.max())}
    return row
