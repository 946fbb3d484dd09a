"""Images with boxes in the manner of COCO, streamed from disk."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from dltool.data import arguments
from dltool.data.formats import coco_annotations
from dltool.data.formats.box_annotations import Annotation
from dltool.data.formats.mask_folders import PART
from dltool.library.datasets._images_with_boxes import WAYS, BoxedImages


class CocoJson(BoxedImages):
    """Images and boxes: x uint8 (rows, columns, channels) in 0..255, y float32 (max_boxes, 6), boxes as in PascalVoc.

    `path` holds a folder of images and a JSON file with their boxes: `images` (id, file_name, width, height),
    `annotations` (image_id, category_id, bbox [x, y, width, height], iscrowd) and `categories` (id, name). Where names
    of folders and files have {part}, as in "{part}2017" and "annotations/instances_{part}2017.json", each of train, val
    and test is a part; else all is "train".

    Args:
        path: the folder, or an archive of it (.zip, .tar, .tar.gz, .tgz), which is extracted once into
            $DLTOOL_CACHE (else $XDG_CACHE_HOME/dltool, else ~/.cache/dltool).
        classes: names of the classes in the order of their indices. Defaults to the training part's categories, in the
            order of their numbers.
        image_size: (rows, columns) in pixels that every image is resized to, and its boxes with it. Defaults to that of
            the images; where they differ in size it must be given.
        images: the folder of images. Defaults to "images".
        annotations: the JSON file. Defaults to "annotations.json".
        crowd: what is done with boxes around a crowd of things (iscrowd): "keep", "ignore" or "drop". Defaults to
            "ignore".
        faulty: what is done with faulty boxes, as in PascalVoc. Defaults to "drop".
        anchors: how many typical sizes of training boxes to find, as in PascalVoc. Defaults to none.
        color_mode: "grayscale", "rgb" or "rgba"; every image is converted. Defaults to "rgb".
        interpolation: how to resize, as in ImageFolder. Defaults to "bilinear".
    Raises:
        FileNotFoundError: if `path` does not exist.
        ValueError: if an argument is out of its range; later, if an image is missing or damaged, or the JSON file is
            damaged or gives another size than an image has.
    Limits: outlines (`segmentation`) are not read, so a crowd is its box; the rotation in EXIF data is not applied.
    Reference: Lin et al., 2014, Microsoft COCO: common objects in context, ECCV, arXiv:1405.0312.
    """

    def __init__(
        self,
        path: str | os.PathLike,
        classes: Sequence[str] | None = None,
        image_size: Sequence[int] | None = None,
        images: str = "images",
        annotations: str = "annotations.json",
        crowd: str = "ignore",
        faulty: str = "drop",
        anchors: int | None = None,
        color_mode: str = "rgb",
        interpolation: str = "bilinear",
    ):
        super().__init__(path, classes, image_size, color_mode, interpolation, faulty, anchors)
        name = type(self).__name__
        for key, value in (("images", images), ("annotations", annotations)):
            arguments.inner_path(name, key, value)
        if (PART in images) and (PART not in annotations):
            raise arguments.wrong(name, "annotations", f"a name with {PART}, as 'images' has it", annotations)
        self.images, self.annotations = images, annotations
        self.crowd = arguments.choice(name, "crowd", crowd, WAYS)

    def _annotations(self) -> dict[str, list[Annotation]]:
        found, self._categories = {}, {}
        for part, (images, path) in coco_annotations.scan(self._root, self.images, self.annotations).items():
            found[part], self._categories[part] = coco_annotations.read(Path(images), path, self.crowd)
        return found

    def _listed_classes(self) -> list[str]:
        self._read  # noqa: B018 - reads them
        return self._categories["train"]
