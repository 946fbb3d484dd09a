"""Images with boxes in the manner of YOLO, streamed from disk."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property, partial

from dltool.data import arguments
from dltool.data.formats import mask_folders, yolo_labels
from dltool.data.formats.box_annotations import Annotation
from dltool.library.datasets._images_with_boxes import BoxedImages


class YoloLabels(BoxedImages):
    """Images and boxes: x uint8 (rows, columns, channels) in 0..255, y float32 (max_boxes, 6), boxes as in PascalVoc.

    `path` holds a folder of images and one of labels, text files of the same names with a line `class x y width height`
    a box: the number of its class, its middle and its size in shares of the image's width and height. Where these
    folders, or what lies above them, are named train (or training), val (valid, validation, dev) and test (testing),
    they are those parts; else all is "train". Names of classes are the lines of classes.txt or the `names` of
    data.yaml. An image without labels has no boxes.

    Args:
        path: the folder, or an archive of it (.zip, .tar, .tar.gz, .tgz), which is extracted once into
            $DLTOOL_CACHE (else $XDG_CACHE_HOME/dltool, else ~/.cache/dltool).
        classes: names of the classes in the order of their indices; where files name them, those to keep. Defaults to
            all that files name, else to the numbers.
        image_size: (rows, columns) in pixels that every image is resized to, and its boxes with it. Defaults to that of
            the images; where they differ in size it must be given.
        images: the folder of images; {part} stands for train, val or test, as in "{part}/images". Defaults to "images".
        labels: the folder of labels, in the same way. Defaults to "labels".
        faulty: what is done with faulty boxes, as in PascalVoc. Defaults to "drop".
        anchors: how many typical sizes of training boxes to find, as in PascalVoc. Defaults to none.
        color_mode: "grayscale", "rgb" or "rgba"; every image is converted. Defaults to "rgb".
        interpolation: how to resize, as in ImageFolder. Defaults to "bilinear".
    Raises:
        FileNotFoundError: if `path` does not exist.
        ValueError: if an argument is out of its range; later, if an image is missing or damaged, or a line no box.
    Limits: folders are those of `images` and `labels`, whatever data.yaml says of them; lines of outlines or with a
        confidence are refused; the rotation in EXIF data is not applied.
    """

    def __init__(
        self,
        path: str | os.PathLike,
        classes: Sequence[str] | None = None,
        image_size: Sequence[int] | None = None,
        images: str = "images",
        labels: str = "labels",
        faulty: str = "drop",
        anchors: int | None = None,
        color_mode: str = "rgb",
        interpolation: str = "bilinear",
    ):
        super().__init__(path, classes, image_size, color_mode, interpolation, faulty, anchors)
        for key, value in (("images", images), ("labels", labels)):
            arguments.inner_path(type(self).__name__, key, value)
        self.images, self.label_folder = images, labels

    def hints(self) -> list[str]:
        lines = super().hints()
        images = [one for own in self._read[0].values() for one in own]
        if without := [one.image for one in images if one.source == one.image]:
            lines.append(
                f"{type(self).__name__}: {len(without):,} of {len(images):,} images have no file of labels and count "
                f"as images without boxes (first: {without[0]})."
            )
        return lines

    def _annotations(self) -> dict[str, list[Annotation]]:
        names = self._names_of_files or self._given_classes
        read = partial(yolo_labels.read, names=names)
        parts = {part: yolo_labels.pairs(*folders) for part, folders in self._places.items()}
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            return {part: list(pool.map(read, *zip(*pairs, strict=True))) for part, pairs in parts.items()}

    def _listed_classes(self) -> list[str] | None:
        if self._names_of_files is not None:
            return self._names_of_files
        numbers = {int(name) for own in self._read[0].values() for one in own for name in one.names}
        return [str(number) for number in range(max(numbers, default=-1) + 1)]

    @cached_property
    def _places(self) -> dict:
        return mask_folders.find(self._root, self.images, self.label_folder, "labels")

    @cached_property
    def _names_of_files(self) -> list[str] | None:
        return yolo_labels.class_names(self._root, [labels for _, labels in self._places.values()])
