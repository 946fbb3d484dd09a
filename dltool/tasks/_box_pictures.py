"""Found boxes drawn on their images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dltool.output.boxes import draw_boxes
from dltool.output.picture_files import png
from dltool.tasks._picture_names import PictureNames


class BoxPictures:
    """Writes for each image NAME-boxes.png, the image with the boxes found, their classes and scores, into a folder.

    Args:
        folder: made where it is missing.
        overwrite: whether files that dltool wrote are replaced.
        class_names: of the data.
        written: the files that are of other pictures of the same command; those that are written join it.
    """

    def __init__(self, folder: Path, overwrite: bool, class_names: Sequence[str], written: set[str]) -> None:
        self.names, self.class_names = PictureNames(folder, overwrite, written), class_names

    def write(self, place: Any, image: np.ndarray, rows: np.ndarray) -> None:
        """Write an image with its boxes.

        Args:
            place: the image's path, its row, or PATH:ROW.
            image: (rows, columns, channels), 0 to 255.
            rows: corners in pixels, class, score, (boxes, 6), the most certain first.
        Raises:
            UsageError: a file is there that may not be replaced.
        """
        (path,) = self.names.free(place, ("-boxes.png",))
        classes = rows[:, 4].astype(int)
        labels = [f"{self.class_names[one]} {score:.2f}" for one, score in zip(classes, rows[:, 5], strict=True)]
        self.names.write(path, png(draw_boxes(image, rows[:, :4], classes.tolist(), labels)))
