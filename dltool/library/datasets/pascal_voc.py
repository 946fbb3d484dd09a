"""Images with boxes in the manner of Pascal VOC, streamed from disk."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from dltool.data import arguments
from dltool.data.base import PARTS
from dltool.data.formats import voc_annotations
from dltool.data.formats.box_annotations import Annotation
from dltool.library.datasets._images_with_boxes import WAYS, BoxedImages


class PascalVoc(BoxedImages):
    """Images and boxes: x uint8 (rows, columns, channels) in 0..255, y float32 (max_boxes, 6).

    `path` holds the folders JPEGImages, Annotations (an XML file an image, of the same name) and ImageSets/Main, whose
    files train.txt (else trainval.txt), val.txt and test.txt list the names of each part; without these files all is
    "train". A box of y is x_min, y_min, x_max, y_max, class, ignored: corners in pixels of the resized image, x to the
    right and y downwards, so that the first pixel is 0, 0, 1, 1; ignored is 1 for boxes that count neither for nor
    against a model. Rows without a box come last and are 0, 0, 0, 0, -1, 0.
    Facts: `input_shape`, `num_classes`, `class_names`; `max_boxes`, the largest number of boxes in an image; with
    `anchors`, the fact `anchors`: [[width, height], ...] in pixels, by area.

    Args:
        path: the folder, or an archive of it (.zip, .tar, .tar.gz, .tgz), which is extracted once into
            $DLTOOL_CACHE (else $XDG_CACHE_HOME/dltool, else ~/.cache/dltool).
        classes: names of the classes in the order of their indices. Defaults to the sorted names of all boxes.
        image_size: (rows, columns) in pixels that every image is resized to, and its boxes with it. Defaults to that of
            the images; where they differ in size it must be given.
        images: the folder of images. Defaults to "JPEGImages".
        annotations: the folder of annotations. Defaults to "Annotations".
        sets: the folder of lists. Defaults to "ImageSets/Main".
        parts: the list of each part, as in {train: trainval, test: test}. Defaults to those named above.
        difficult: what is done with boxes that are marked difficult: "keep", "ignore" or "drop". Defaults to "ignore".
        truncated: in the same way, with boxes marked truncated, of which only a part is in the image. Defaults to
            "keep".
        faulty: "drop" leaves out boxes without positive width and height, outside the image, of coordinates that are no
            numbers or of classes not listed, clips those that reach beyond the image, and says how many; "refuse" stops
            at the first. Defaults to "drop".
        inclusive: whether coordinates number pixels from 1, with the last one inside, as in the files of the challenge
            itself; tools such as LabelImg measure from the corner. Defaults to False.
        anchors: how many typical sizes of training boxes to find, by k-means under 1 - IoU. Defaults to none.
        color_mode: "grayscale", "rgb" or "rgba"; every image is converted. Defaults to "rgb".
        interpolation: how to resize, as in ImageFolder. Defaults to "bilinear".
    Raises:
        FileNotFoundError: if `path` does not exist.
        ValueError: if an argument is out of its range; later, if an image or its annotations are missing or damaged, or
            give another size than the image has.
    Limits: the rotation in EXIF data is not applied; outlines of segmentation and parts of bodies are not read.
    Reference: Everingham, Van Gool, Williams, Winn & Zisserman, 2010, The Pascal Visual Object Classes challenge, IJCV
        88, 303-338.
    """

    def __init__(
        self,
        path: str | os.PathLike,
        classes: Sequence[str] | None = None,
        image_size: Sequence[int] | None = None,
        images: str = "JPEGImages",
        annotations: str = "Annotations",
        sets: str = "ImageSets/Main",
        parts: Mapping[str, str] | None = None,
        difficult: str = "ignore",
        truncated: str = "keep",
        faulty: str = "drop",
        inclusive: bool = False,
        anchors: int | None = None,
        color_mode: str = "rgb",
        interpolation: str = "bilinear",
    ):
        super().__init__(path, classes, image_size, color_mode, interpolation, faulty, anchors)
        name = type(self).__name__
        self._folders = {"images": images, "annotations": annotations, "sets": sets}
        for key, value in self._folders.items():
            arguments.inner_path(name, key, value)
        self._lists = None if parts is None else _checked_parts(name, parts)
        self._flags = {
            "difficult": arguments.choice(name, "difficult", difficult, WAYS),
            "truncated": arguments.choice(name, "truncated", truncated, WAYS),
        }
        self.inclusive = arguments.boolean(name, "inclusive", inclusive)

    def _annotations(self) -> dict[str, list[Annotation]]:
        parts = voc_annotations.scan(self._root, parts=self._lists, **self._folders)
        read = partial(voc_annotations.read, flags=self._flags, inclusive=self.inclusive)
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            return {part: list(pool.map(read, *zip(*pairs, strict=True))) for part, pairs in parts.items()}


def _checked_parts(name: str, parts: Any) -> dict[str, str]:
    must = "a mapping of train, and where there are any validation and test, to names of lists without suffix"
    if not isinstance(parts, Mapping) or "train" not in parts or not {*parts} <= {*PARTS}:
        raise arguments.wrong(name, "parts", must, parts)
    for value in parts.values():
        if not isinstance(value, str) or not value or Path(value).name != value:
            raise arguments.wrong(name, "parts", must, parts)
    return dict(parts)
