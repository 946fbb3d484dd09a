"""A sheet of training images, each next to its augmented versions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dltool.output.pixels import PixelRange, shown
from dltool.output.sheet import Tile, sheet


def augmented_sheet(
    title: str,
    notes: Sequence[str],
    plain: np.ndarray,
    labels: Sequence[str],
    draws: Sequence[np.ndarray],
    targets: Sequence[Sequence[str]],
) -> np.ndarray:
    """Return a sheet with one row per image, first plain, then as each draw made it.

    Pixels are uint8 (rows, columns, 3).

    All are shown in the range of the plain images' values; values outside are cut.

    Args:
        plain: images (n, rows, columns, channels).
        labels: the class of each image.
        draws: the images of each draw, as `plain`.
        targets: for each draw, what each image counts as if it is not just its class, otherwise "".
    """
    pixels = PixelRange.of(plain)
    rows = [
        [
            Tile(shown(plain[n], pixels)),
            *(Tile(shown(x[n], pixels), said[n]) for x, said in zip(draws, targets, strict=True)),
        ]
        for n in range(len(plain))
    ]
    columns = ["original", *(f"draw {number + 1}" for number in range(len(draws)))]
    return sheet(title, rows, notes=notes, row_labels=labels, column_labels=columns, size=96)
