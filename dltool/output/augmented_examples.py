"""A sheet of training images, each next to its augmented versions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from dltool.output.pixels import PixelRange, shown
from dltool.output.sheet import Tile, sheet

LONGEST = 320  # pixels of a picture's side; larger ones are made smaller


def augmented_sheet(
    title: str,
    notes: Sequence[str],
    plain: np.ndarray,
    labels: Sequence[str],
    draws: Sequence[np.ndarray],
    targets: Sequence[Sequence[str]],
    draw: Callable[[np.ndarray, Any], np.ndarray] = lambda picture, target: picture,
    drawn: Sequence[Sequence[Any]] | None = None,
) -> np.ndarray:
    """Return a sheet with one row per image, first plain, then as each draw made it.

    Pixels are uint8 (rows, columns, 3).

    All are shown in the range of the plain images' values; values outside are cut.

    Args:
        plain: images (n, rows, columns, channels).
        labels: the class of each image.
        draws: the images of each draw, as `plain`.
        targets: for each draw, what each image counts as if it is not just its class, otherwise "".
        draw: returns a picture with a target drawn on it.
        drawn: targets of the plain images, then those of each draw; None: nothing is drawn.
    """
    pixels = PixelRange.of(plain)
    said = [[""] * len(plain), *targets]
    rows = [
        [
            Tile(_of_page(shown(x[n], pixels) if drawn is None else draw(shown(x[n], pixels), drawn[k][n])), said[k][n])
            for k, x in enumerate((plain, *draws))
        ]
        for n in range(len(plain))
    ]
    columns = ["original", *(f"draw {number + 1}" for number in range(len(draws)))]
    return sheet(title, rows, notes=notes, row_labels=labels, column_labels=columns, size=96)


def _of_page(picture: np.ndarray) -> np.ndarray:
    """Return a picture no larger than a page of several has room for."""
    if max(picture.shape[:2]) <= LONGEST:
        return picture
    from PIL import Image

    image = Image.fromarray(picture)
    image.thumbnail((LONGEST, LONGEST), Image.Resampling.LANCZOS)
    return np.asarray(image)
