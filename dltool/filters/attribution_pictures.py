"""A sheet of attribution maps next to their images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from dltool.output.picture_files import Picture
from dltool.output.pixels import PixelRange, shown, signed, unsigned
from dltool.output.sheet import Tile, sheet


def attribution_picture(
    names: Sequence[str],
    images: np.ndarray,
    captions: Sequence[str],
    maps: Mapping[str, np.ndarray],
    scores: Mapping[str, np.ndarray],
    verdicts: Mapping[str, str],
    pixels: PixelRange,
) -> Picture:
    """Draw one row per image, one column per method.

    Maps that are nowhere negative go from black to white, others from black over grey (0) to white.

    Args:
        captions: of each image, which class it is taken for and which the maps are about.
        maps: method -> (n, rows, columns), of signals (n, positions, channels).
        scores: method -> deletion scores (n,).
        verdicts: method -> "pass" or "fail" of the random-weights check.
    """
    rows = []
    for number, image in enumerate(images):
        tiles = [Tile(shown(image, pixels), captions[number])]
        for method, found in maps.items():
            one = found[number].T if image.ndim == 2 else found[number]  # a signal is drawn with a row a channel
            tiles.append(Tile(_drawn(one), f"{scores[method][number]:.3f}"))
        rows.append(tiles)
    title = "What counts for the class"
    notes = ["below the maps: deletion score, lower is better", "above: verdict of the random-weights check"]
    columns = ["image", *(f"{method}\n{verdicts.get(method, '')}".rstrip() for method in maps)]
    drawn = sheet(title, rows, notes=notes, row_labels=names, column_labels=columns, size=84)
    return Picture("attribution", title, drawn, [tile.pixels for row in rows for tile in row])


def _drawn(one: np.ndarray) -> np.ndarray:
    limit = float(np.abs(one).max())
    return signed(one, limit) if one.min() < 0 else unsigned(one, 0.0, limit)
