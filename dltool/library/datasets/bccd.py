"""The BCCD blood cells."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from dltool.data.formats import image_decoding, locate
from dltool.data.formats.box_annotations import NO_AREA
from dltool.library.datasets._images_with_boxes import DROP
from dltool.library.datasets.pascal_voc import PascalVoc

CLASSES = ("RBC", "WBC", "Platelets")
SIZES = {"train": 205, "validation": 87, "test": 72}
SIZE = (480, 640)  # of every image
MAX_BOXES = 30
FAULTS = {NO_AREA: 2}  # boxes of BloodImage_00338 and BloodImage_00343 that are a point
# Typical sizes of training boxes in images of SIZE, as `find_anchors` gives them: they follow images that are resized.
ANCHORS = {
    3: ((40.69, 39.41), (105.26, 100.57), (209.22, 189.67)),
    5: ((39.96, 38.76), (100.28, 82.83), (95.56, 104.52), (118.76, 109.68), (211.97, 192.58)),
    9: (
        (39.9, 38.37),
        (102.56, 69.88),
        (87.22, 86.85),
        (80.39, 115.2),
        (98.09, 100.35),
        (114.6, 93.0),
        (110.33, 111.17),
        (133.27, 121.7),
        (216.5, 195.65),
    ),
}


class Bccd(PascalVoc):
    """Blood cells under a microscope: x uint8 (rows, columns, 3), y float32 (30, 6), boxes of 3 classes.

    Parts "train" (205 images), "validation" (87) and "test" (72) of 480 x 640 pixels with 4,886 boxes: 85 % are red
    cells (RBC), 8 % white cells (WBC), 7 % platelets. Two boxes of the files are a point and are left out. Boxes are
    those of PascalVoc.

    Args:
        path: the folder, or its archive bccd.zip. Defaults to $DLTOOL_DATA/bccd.
        image_size: (rows, columns) in pixels that every image and its boxes are resized to. Defaults to (480, 640).
        anchors: how many typical sizes of training boxes to find, as in PascalVoc. Defaults to none.
    Raises:
        FileNotFoundError: if `path` does not exist; on reading, if there are no files.
        ValueError: if an argument is out of its range; on reading, if a file is damaged.
    Limits: not every red cell has a box, so that a detector which finds them all is blamed for some.
    Reference: BCCD Dataset, 2017, github.com/Shenggan/BCCD_Dataset.
    """

    def __init__(
        self,
        path: str | os.PathLike | None = None,
        image_size: Sequence[int] | None = None,
        anchors: int | None = None,
    ):
        place = _place() if path is None else Path(path)
        super().__init__(Path() if place is None else place, CLASSES, image_size, faulty=DROP, anchors=anchors)
        self._is_known, self._is_missing = path is None, place is None

    def sizes(self) -> dict[str, int]:
        return dict(SIZES) if self._is_known else super().sizes()

    def facts(self) -> dict[str, Any]:
        if not self._is_missing or self.anchors not in (None, *ANCHORS):
            return super().facts()
        rows, columns = self._given_size or SIZE
        facts = {
            "input_shape": (rows, columns, image_decoding.CHANNELS[self.color_mode]),
            "num_classes": len(CLASSES),
            "class_names": list(CLASSES),
            "max_boxes": MAX_BOXES,
        }
        if self.anchors is not None:
            scale = columns / SIZE[1], rows / SIZE[0]
            facts["anchors"] = [
                [round(side * one, 2) for side, one in zip(anchor, scale, strict=True)]
                for anchor in ANCHORS[self.anchors]
            ]
        return facts

    def hints(self) -> list[str]:
        lines = super().hints()
        return [] if self._faults.counts == FAULTS else lines

    @cached_property
    def _root(self) -> Path:
        if self._is_missing:
            looked = ", ".join(map(str, locate.data_folders("bccd", "BCCD"))) or "$DLTOOL_DATA/bccd, which is not set"
            raise FileNotFoundError(
                f"Bccd: no files in {looked}: set DLTOOL_DATA to the folder that holds them, or give 'path'."
            )
        return PascalVoc._root.func(self)  # type: ignore[attr-defined]


def _place() -> Path | None:
    """Return the archive or the folder of the data, None where there is none."""
    for folder in locate.data_folders("bccd", "BCCD"):
        if folder.is_dir():
            archive = folder / "bccd.zip"
            return archive if archive.is_file() else folder
    return None
