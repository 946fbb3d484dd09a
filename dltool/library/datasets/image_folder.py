"""Images in class folders, streamed from disk."""

from __future__ import annotations

import copy
import os
import re
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dltool.data import arguments
from dltool.data.base import Examples, StreamedDataset, trained_classes
from dltool.data.formats import class_folders, image_decoding, image_headers, members
from dltool.data.formats.members import ARCHIVES
from dltool.data.inputs.base import PICTURES

if TYPE_CHECKING:
    import tensorflow as tf

_BATCH = 32  # images a step when a part is read or checked
_OF_THE_GRAPH = re.compile(r"\{\{.*?\}\} ?|[. ]*\[Op:.*|[. ]+$")  # in what TensorFlow says of a file


class ImageFolder(StreamedDataset):
    """Images in class folders: x uint8 (rows, columns, channels) in 0..255, y int32 class index.

    `path` holds <class>/<image> for the one part "train", or train/<class>/<image> (or training) and, if present,
    val (valid, validation, dev) and test (testing), in any case, all possibly below one folder. A folder `train` that
    holds images and has siblings of other names is a class. JPEG, PNG, GIF, BMP and WebP are read, of
    animations the first frame; hidden files and leftovers of file managers are not. Their number and
    their classes come from the file names.

    Args:
        path: the folder, or an archive of it (.zip, .tar, .tar.gz, .tgz), which is extracted once into
            $DLTOOL_CACHE (else $XDG_CACHE_HOME/dltool, else ~/.cache/dltool).
        image_size: (rows, columns) in pixels that every image is resized to. Defaults to that of the images; where
            they differ in size it must be given.
        color_mode: "grayscale", "rgb" or "rgba"; every image is converted. Defaults to "rgb".
        interpolation: how to resize: "bilinear", "nearest", "bicubic", "area", "lanczos3", "lanczos5",
            "gaussian" or "mitchellcubic". Defaults to "bilinear".
        crop_to_aspect_ratio: cut the middle instead of distorting. Defaults to False.
        classes: class names in label order. Defaults to the sorted names of the training class folders.
    Raises:
        FileNotFoundError: if `path` does not exist.
        ValueError: if an argument is out of its range; later, if a folder is empty or unknown, a file is no
            image, or there are fewer than 2 classes.
    Limits: the rotation in EXIF data is not applied, as in Pillow and Keras; transparency is cut off, not blended; of
        16 bits a channel the upper 8 are kept; resizing to a smaller size does not blur first (as in Keras), so fine
        patterns alias, except with "area"; BMP with a palette and GIF with transparency are decoded by Pillow, slowly.
    """

    new_examples = PICTURES

    pixel_range = (0, 255)

    def __init__(
        self,
        path: str | os.PathLike,
        image_size: tuple[int, int] | Sequence[int] | None = None,
        color_mode: str = "rgb",
        interpolation: str = "bilinear",
        crop_to_aspect_ratio: bool = False,
        classes: Sequence[str] | None = None,
    ):
        self.path = arguments.existing("ImageFolder", "path", path)
        if self.path.is_file() and not self.path.name.lower().endswith(ARCHIVES):
            raise arguments.wrong("ImageFolder", "path", f"a folder or an archive ({', '.join(ARCHIVES)})", str(path))
        self._given_size = None if image_size is None else arguments.image_size("ImageFolder", "image_size", image_size)
        self.color_mode = arguments.choice("ImageFolder", "color_mode", color_mode, image_decoding.CHANNELS)
        self.interpolation = arguments.choice(
            "ImageFolder", "interpolation", interpolation, image_decoding.INTERPOLATIONS
        )
        self.crop_to_aspect_ratio = arguments.boolean("ImageFolder", "crop_to_aspect_ratio", crop_to_aspect_ratio)
        self.classes = None if classes is None else arguments.names("ImageFolder", "classes", classes)

    @classmethod
    def facts_of_arguments(cls, **arguments: Any) -> dict[str, Any]:
        if arguments.get("image_size") is None:
            return {}
        with tempfile.TemporaryDirectory() as anywhere:  # the other arguments are checked as ever
            folder = cls(**{**arguments, "path": anywhere})
        return {"input_shape": (*folder.image_size, image_decoding.CHANNELS[folder.color_mode])}

    def as_trained(self, facts: Mapping[str, Any]) -> ImageFolder:
        twin, classes = copy.copy(self), trained_classes(facts)
        for name in ("_scan", "image_size"):
            vars(twin).pop(name, None)
        if classes is not None:
            twin.classes, twin.is_trained = [str(name) for name in classes], True
        return twin

    def origins(self, part: str) -> tuple[str, Sequence[Any]]:
        paths = [os.fsencode(path).decode(errors="backslashreplace") for path in self._listing(part).paths]
        if self.path.is_dir():
            return "file", paths
        root = members.extracted(self.path)
        return "file", [os.path.relpath(path, root) for path in paths]

    @cached_property
    def image_size(self) -> tuple[int, int]:
        """(rows, columns) of every image that is read: the given ones, otherwise those of all images.

        Raises:
            ValueError: none is given and the images differ.
        """
        if self._given_size is not None:
            return self._given_size
        paths = [path for listing in self._parts.values() for path in listing.paths]
        return image_headers.common_size("ImageFolder", ((path, image_headers.size(path)) for path in paths))

    def sizes(self) -> dict[str, int]:
        return {part: len(listing.paths) for part, listing in self._parts.items()}

    def facts(self) -> dict[str, Any]:
        names = self._scan[0]
        return {
            "input_shape": (*self.image_size, image_decoding.CHANNELS[self.color_mode]),
            "num_classes": len(names),
            "class_names": list(names),
        }

    def files(self) -> list[Path]:
        return [self.path]

    def labels(self, part: str) -> np.ndarray:
        return self._listing(part).labels

    def read(self, part: str) -> Examples:
        labels = self._listing(part).labels
        x = np.empty((len(labels), *self.facts()["input_shape"]), np.uint8)
        stream = self.stream(part, np.arange(len(labels))).batch(_BATCH)
        try:
            for at, (images, _) in zip(range(0, len(labels), _BATCH), stream.as_numpy_iterator(), strict=True):
                x[at : at + _BATCH] = images
        except Exception as error:  # TensorFlow's own kind, which need not be imported to be caught
            raise ValueError(self.unreadable(part) or str(error).splitlines()[0]) from error
        return Examples(x, labels)

    def stream(self, part: str, order: np.ndarray) -> tf.data.Dataset:
        import tensorflow as tf

        listing = self._listing(part)
        order = np.asarray(order, np.int64)
        names = [os.fsencode(path) for path in listing.paths]  # not every file's name is UTF-8
        paths = np.array(names, dtype=object)[order]
        some_rare = bool(listing.rare.any())  # else there is no Python in the graph
        self.image_size  # noqa: B018 - an error of it is raised here, not within the graph

        def load(path: tf.Tensor, label: tf.Tensor, is_rare: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            return self._decode(tf.io.read_file(path), is_rare if some_rare else None), label

        columns = (tf.constant(paths, tf.string), listing.labels[order], listing.rare[order])
        examples = tf.data.Dataset.from_tensor_slices(columns)
        options = tf.data.Options()
        options.autotune.enabled = False  # its buffers grow until memory is short
        examples = examples.map(load, num_parallel_calls=os.cpu_count(), deterministic=True)
        return examples.with_options(options)

    def unreadable(self, part: str) -> str | None:
        """Return one line on the first file of a part that does not decode, or None."""
        paths = self._listing(part).paths
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            for at in range(0, len(paths), _BATCH):
                for fault in pool.map(self._fault, paths[at : at + _BATCH]):
                    if fault:
                        return fault
        return None

    def _fault(self, path: str) -> str | None:
        """Return one line on an unreadable file, or None.

        Pillow, which says more, tries first, then the stream's own decoder.
        """
        import tensorflow as tf

        try:
            with open(path, "rb") as file:
                data = file.read()
            image_decoding.pillow_pixels(data, self.color_mode)
            coding = image_headers.coding(path)
            self._decode(tf.constant(data), tf.constant(True) if coding and coding.is_rare else None)
        except Exception as error:  # Pillow raises OSError, SyntaxError, ValueError and more for damaged files
            text = str(error)
            reason = _OF_THE_GRAPH.sub("", text.splitlines()[0]) if text and "BytesIO" not in text else ""
            return f"{path} is no readable image ({reason or 'no known format'}): replace or remove it."
        return None

    def _decode(self, data: tf.Tensor, is_rare: tf.Tensor | None) -> tf.Tensor:
        return image_decoding.decode(
            data, self.image_size, self.color_mode, self.interpolation, self.crop_to_aspect_ratio, is_rare
        )

    def _listing(self, part: str) -> class_folders.Listing:
        return self._parts[arguments.stored("ImageFolder", part, self._parts)]

    @property
    def _parts(self) -> dict[str, class_folders.Listing]:
        return self._scan[1]

    @cached_property
    def _scan(self) -> tuple[list[str], dict[str, class_folders.Listing]]:
        root = self.path if self.path.is_dir() else members.extracted(self.path)
        return class_folders.scan(root, self.classes, some_missing=self.is_trained)
