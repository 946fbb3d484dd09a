"""The CamVid road scenes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from dltool.data.formats import locate
from dltool.library.datasets.image_masks import ImageMasks

CLASSES = ("Sky", "Building", "Pole", "Road", "Pavement", "Tree", "SignSymbol", "Fence", "Car", "Pedestrian",
           "Bicyclist", "Unlabelled")  # fmt: skip
COLORS = ((128, 128, 128), (128, 0, 0), (192, 192, 128), (128, 64, 128), (60, 40, 222), (128, 128, 0), (192, 128, 128),
          (64, 64, 128), (64, 0, 128), (64, 64, 0), (0, 128, 192), (0, 0, 0))  # fmt: skip

SIZES = {"train": 367, "validation": 101, "test": 233}
SIZE = (360, 480)  # of every image


class CamVid(ImageMasks):
    """Road scenes from a driving car: x uint8 (rows, columns, 3), y int32 (rows, columns), 11 classes and void.

    Parts "train" (367 images), "validation" (101) and "test" (233) of 360 x 480 pixels, as SegNet has them: images in
    train, val and test, masks in trainannot, valannot and testannot.

    Args:
        path: the folder, or its archive camvid.zip. Defaults to $DLTOOL_DATA/camvid.
        image_size: (rows, columns) in pixels that every image and mask is resized to. Defaults to (360, 480).
    Raises:
        FileNotFoundError: if `path` does not exist; on reading, if there are no files.
        ValueError: if an argument is out of its range; on reading, if a file is damaged.
    Limits: frames of few videos, so neighbours are much alike; Bicyclist, Pedestrian and Pole are 0.3 to 1 % of pixels.
    Reference: Brostow, Fauqueur & Cipolla, 2009, Pattern Recognition Letters 30, 88-97; split and classes of
        Badrinarayanan, Kendall & Cipolla, 2017, IEEE PAMI 39, 2481-2495.
    """

    def __init__(self, path: str | os.PathLike | None = None, image_size: Sequence[int] | None = None):
        place = _place() if path is None else Path(path)
        super().__init__(
            Path() if place is None else place,
            classes=CLASSES,
            images="{part}",
            masks="{part}annot",
            void="Unlabelled",
            image_size=SIZE if image_size is None and path is None else image_size,
        )
        self._is_known, self._is_missing = path is None, place is None

    def sizes(self) -> dict[str, int]:
        return dict(SIZES) if self._is_known else super().sizes()

    @cached_property
    def _parts(self) -> Any:
        if self._is_missing:
            looked = (
                ", ".join(map(str, locate.data_folders("camvid", "CamVid"))) or "$DLTOOL_DATA/camvid, which is not set"
            )
            raise FileNotFoundError(
                f"CamVid: no files in {looked}: set DLTOOL_DATA to the folder that holds them, or give 'path'."
            )
        return ImageMasks._parts.func(self)  # type: ignore[attr-defined]

    @property
    def _colors(self) -> list[list[int]]:
        return [list(color) for color in COLORS]


def _place() -> Path | None:
    """Return the archive or the folder of the data, None where there is none."""
    for folder in locate.data_folders("camvid", "CamVid"):
        if folder.is_dir():
            archive = folder / "camvid.zip"
            return archive if archive.is_file() else folder
    return None
