"""Class indices of a mask's pixels, from values, palette indices or colours."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np

from dltool.data.formats import picture_formats

UNKNOWN = -1
GREY = ("1", "L", "P", "I", "I;16", "I;16B", "I;16L")  # modes of Pillow of one number a pixel


class MaskDecoder:
    """Reads masks as targets: classes 0, 1, ... in the order of their values, and void after the last.

    Args:
        values: of the classes, each the number or palette index that masks hold.
        void: the value that no class stands for, or None.
        colors: of the values 0, 1, ... (red, green, blue) of each, for masks in colours; None: such are an error.
        grey_too: whether grey values and palette indices are read as the colours that they show.
    """

    def __init__(
        self,
        values: Sequence[int],
        void: int | None = None,
        colors: Sequence[Sequence[int]] | None = None,
        grey_too: bool = False,
    ) -> None:
        self.count = len(values)
        known = [*values, *([] if void is None else [void])]
        self._targets = np.full(max(known) + 1, UNKNOWN, np.int32)  # value -> target
        self._targets[known] = np.arange(len(known))
        self._grey_too = grey_too
        self._colors = None if colors is None else {int(_code(np.asarray(one))): at for at, one in enumerate(colors)}

    def decode(self, data: bytes) -> np.ndarray:
        """Return the targets of an encoded mask, int32 (rows, columns).

        Raises:
            ValueError: a pixel has a value or a colour of no class.
        """
        with picture_formats.opened(io.BytesIO(data)) as image:
            is_colored = image.mode not in GREY or self._grey_too
            pixels = np.asarray(image.convert("RGB") if is_colored else image)
        values = self._values_of_colors(pixels) if pixels.ndim == 3 else pixels.astype(np.int64)
        inside = (values >= 0) & (values < len(self._targets))
        targets = np.where(inside, self._targets[np.where(inside, values, 0)], UNKNOWN)
        if (targets == UNKNOWN).any():
            row, column = (int(at[0]) for at in np.nonzero(targets == UNKNOWN))
            raise ValueError(f"the value {values[row, column]} in row {row}, column {column} is of no class")
        return targets.astype(np.int32)

    def _values_of_colors(self, pixels: np.ndarray) -> np.ndarray:
        if self._colors is None:
            raise ValueError("it holds colours: give 'palette', the colour of each class")
        codes, inverse = np.unique(_code(pixels), return_inverse=True)
        for code in codes:
            if int(code) not in self._colors:
                color = [int(code) >> 16, int(code) >> 8 & 255, int(code) & 255]
                raise ValueError(f"the colour {color} is of no class: see 'palette' or classes.csv")
        return np.array([self._colors[int(code)] for code in codes])[inverse].reshape(pixels.shape[:2])


def _code(colors: np.ndarray) -> np.ndarray:
    """Return red * 2^16 + green * 2^8 + blue, (...) of (..., 3)."""
    channels = colors.astype(np.int64)
    return (channels[..., 0] << 16) | (channels[..., 1] << 8) | channels[..., 2]
