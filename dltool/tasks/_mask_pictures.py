"""Masks as PNG files with a palette, and laid over their pictures."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from dltool.output.picture_files import png
from dltool.tasks._picture_names import PictureNames

OPACITY = 0.5  # of a class's colour over the picture
OVERLAY = "-overlay"  # at the end of such a picture's name


class MaskPictures:
    """Writes for each picture NAME.png, its mask, and NAME-overlay.png, the mask laid over it, into a folder.

    A mask's pixels have the values that masks of the training data have, so that it can be trained on.

    Args:
        folder: made where it is missing.
        overwrite: whether files that dltool wrote are replaced.
        facts: of the data: `class_names`, and where they are known `mask_values` and `class_colors`.
        written: the files that are of other pictures of the same command; those that are written join it.
    """

    def __init__(self, folder: Path, overwrite: bool, facts: Mapping[str, Any], written: set[str]) -> None:
        count = facts["num_classes"]
        self.names = PictureNames(folder, overwrite, written)
        self.values = np.asarray(facts.get("mask_values") or range(count), np.uint8)
        self.colors = colors_of(facts)

    def write(self, place: Any, picture: np.ndarray, mask: np.ndarray) -> str:
        """Return the path of a mask, which is written with its overlay.

        Args:
            place: the picture's path, its row, or PATH:ROW. A name that is another picture's is made longer.
            picture: (rows, columns, channels), 0 to 255.
            mask: class indices, int (rows, columns).
        Raises:
            UsageError: a file is there that may not be replaced.
        """
        path, overlay = self.names.free(place, (".png", f"{OVERLAY}.png"))
        self.names.write(path, self._indexed(mask))
        self.names.write(overlay, png(laid_over(picture, mask, self.colors)))
        return str(path)

    def _indexed(self, mask: np.ndarray) -> bytes:
        from PIL import Image

        palette = np.zeros((256, 3), np.uint8)
        palette[self.values] = self.colors
        image = Image.fromarray(self.values[mask], mode="P")
        image.putpalette(palette.tobytes())
        file = io.BytesIO()
        image.save(file, "PNG")
        return file.getvalue()


def colors_of(facts: Mapping[str, Any]) -> np.ndarray:
    """Return the colours of the classes, uint8 (classes, 3): those of the data, else those of Pascal VOC."""
    colors, count = facts.get("class_colors") or [], facts["num_classes"]
    return np.asarray(colors if len(colors) == count else [color_of(value) for value in range(1, count + 1)], np.uint8)


def laid_over(picture: np.ndarray, mask: np.ndarray, colors: np.ndarray) -> np.ndarray:
    """Return a picture (rows, columns, channels) under the colours of its mask, uint8; void shows the picture alone."""
    shown = np.repeat(picture, 3, axis=-1) if picture.shape[-1] == 1 else picture[..., :3]
    mixed = (1 - OPACITY) * shown.astype(np.float32) + OPACITY * colors[np.minimum(mask, len(colors) - 1)]
    mixed = np.where((mask < len(colors))[..., np.newaxis], mixed, shown)
    laid: np.ndarray = np.clip(np.rint(mixed), 0, 255).astype(np.uint8)
    return laid


def color_of(value: int) -> tuple[int, int, int]:
    """Return the colour of a class as Pascal VOC has it: bit 3k + c of the value is bit 7 - k of channel c."""
    channels = [sum(((value >> (3 * k + c)) & 1) << (7 - k) for k in range(8)) for c in range(3)]
    return channels[0], channels[1], channels[2]
