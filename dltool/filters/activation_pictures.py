"""Sheets of the feature maps that a layer gives for an image, and a row a map of what is in it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from dltool.output.picture import Picture, file_name
from dltool.output.pixels import PixelRange, shown, unsigned
from dltool.output.sheet import Tile, in_rows, sheet


def activation_picture(
    name: str, image: np.ndarray, path: str, maps: np.ndarray, units: Sequence[int], pixels: PixelRange, scaling: str
) -> tuple[Picture, list[dict[str, Any]]]:
    """Draw the image and its feature maps; for a layer without positions, all units in one strip.

    Args:
        name: the image's.
        maps: after the nonlinearity, (..., all units of the layer).
        scaling: "filter", each map from its least to its largest value, or "shared", all on one scale.
    """
    chosen = maps[..., list(units)]
    rows = [_row(name, path, unit, maps[..., unit]) for unit in units]
    low, high = float(chosen.min()), float(chosen.max())
    scale = "each from its least value (black) to its largest (white)"
    if scaling == "shared" or maps.ndim == 1:
        scale = f"black is {low:.3g}, white is {high:.3g}"
    title = f"{path}: activations for {name}"
    count = maps.shape[-1]
    notes = [f"{len(units)} of {count} units, {scale}" if len(units) < count else f"{count} units, {scale}"]
    first = Tile(shown(image, pixels), "image")
    if maps.ndim == 1:
        strip = unsigned(chosen[None], low, high)
        tiles = [first, Tile(strip, f"units {units[0]} to {units[-1]}")]
        return Picture(file_name("activations", path, name), title, _page(title, tiles, notes), [strip]), rows
    tiles = [first]
    for unit in units:
        one = maps[..., unit]
        ends = (low, high) if scaling == "shared" else (float(one.min()), float(one.max()))
        drawn = unsigned(one if one.ndim == 2 else one[None], *ends)
        tiles.append(Tile(drawn, f"unit {unit}\nmax {one.max():.2f}"))
    pictures = [tile.pixels for tile in tiles]
    return Picture(file_name("activations", path, name), title, _page(title, tiles, notes), pictures), rows


def _page(title: str, tiles: Sequence[Tile], notes: Sequence[str]) -> np.ndarray:
    return sheet(title, in_rows(tiles), notes=notes)


def _row(name: str, path: str, unit: int, one: np.ndarray) -> dict[str, Any]:
    row: dict[str, Any] = {"image": name, "layer": path, "unit": unit}
    row |= {"mean": float(one.mean()), "max": float(one.max()), "share_above_0": float((one > 0).mean())}
    at = np.unravel_index(int(one.argmax()), one.shape) if one.ndim else ()
    row["max_at"] = " ".join(map(str, at)) or None
    return row
