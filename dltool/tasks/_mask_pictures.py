"""Masks as PNG files with a palette, and laid over their pictures."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any

import numpy as np

from dltool.errors import UsageError
from dltool.output.files import atomic
from dltool.output.ownership import is_output, marked
from dltool.output.picture_files import png

OPACITY = 0.5  # of a class's colour over the picture
OVERLAY = "-overlay"  # at the end of such a picture's name


class MaskPictures:
    """Writes for each picture NAME.png, its mask, and NAME-overlay.png, the mask laid over it, into a folder.

    A mask's pixels have the values that masks of the training data have, so that it can be trained on.

    Args:
        folder: made where it is missing.
        overwrite: whether files that dltool wrote are replaced.
        facts: of the data: `class_names`, and where they are known `mask_values` and `class_colors`.
    """

    def __init__(self, folder: Path, overwrite: bool, facts: Mapping[str, Any]) -> None:
        count = facts["num_classes"]
        self.folder, self.overwrite = folder, overwrite
        self.values = np.asarray(facts.get("mask_values") or range(count), np.uint8)
        colors = facts.get("class_colors") or []
        own = colors if len(colors) == count else [color_of(value) for value in range(1, count + 1)]
        self.colors = np.asarray(own, np.uint8)

    def write(self, place: Any, picture: np.ndarray, mask: np.ndarray) -> str:
        """Return the path of a mask, which is written with its overlay.

        Args:
            place: the picture's path, or its row.
            picture: (rows, columns, channels), 0 to 255.
            mask: class indices, int (rows, columns).
        Raises:
            UsageError: a file is there that may not be replaced.
        """
        path = self.folder / _inside(place)
        overlay = path.with_name(f"{path.stem}{OVERLAY}.png")
        for target in (path, overlay):
            if target.exists() and not (self.overwrite and is_output(target)):
                remedy = "Move it." if self.overwrite else "Use --overwrite to replace it, or another folder."
                raise UsageError(f"--out {target}: exists already. {remedy}")
        for target, content in ((path, self._indexed(mask)), (overlay, png(self._laid_over(picture, mask)))):
            with atomic(target) as file:
                file.write(marked(content, ".png"))
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

    def _laid_over(self, picture: np.ndarray, mask: np.ndarray) -> np.ndarray:
        shown = np.repeat(picture, 3, axis=-1) if picture.shape[-1] == 1 else picture[..., :3]
        mixed = (1 - OPACITY) * shown.astype(np.float32) + OPACITY * self.colors[mask]
        return np.clip(np.rint(mixed), 0, 255).astype(np.uint8)


def color_of(value: int) -> tuple[int, int, int]:
    """Return the colour of a class as Pascal VOC has it: bit 3k + c of the value is bit 7 - k of channel c."""
    channels = [sum(((value >> (3 * k + c)) & 1) << (7 - k) for k in range(8)) for c in range(3)]
    return channels[0], channels[1], channels[2]


def _inside(place: Any) -> Path:
    """Return the relative path of a mask for a picture at a path, or in a row of an array."""
    if not isinstance(place, str):
        return Path(f"{place:06d}.png")
    parts: Sequence[str] = [part for part in PurePath(place).parts if part not in (PurePath(place).anchor, "..", ".")]
    return Path(*parts).with_suffix(".png")
