"""A sheet of training images beside what augmentation makes of them."""

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
    """A row an image: as it is, then as each draw made it; uint8 (rows, columns, 3).

    All are shown in the range of values that the images have as they are; what leaves it is cut.

    Args:
        plain: images (n, rows, columns, channels).
        labels: of each image, its class.
        draws: of each draw the images, as `plain`.
        targets: of each draw what each image counts as, where that is more than its class, else "".
    """
    pixels = PixelRange.of(plain)
    rows = [
        [
            Tile(shown(plain[n], pixels)),
            *(Tile(shown(x[n], pixels), said[n]) for x, said in zip(draws, targets, strict=True)),
        ]
        for n in range(len(plain))
    ]
    columns = ["as it is", *(f"draw {number + 1}" for number in range(len(draws)))]
    return sheet(title, rows, notes=notes, row_labels=labels, column_labels=columns, size=96)
