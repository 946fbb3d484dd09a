"""Images with boxes around the things in them, streamed from disk, whatever the format of their annotations."""

from __future__ import annotations

import copy
import os
import tempfile
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from dltool.data import arguments
from dltool.data.anchors import find_anchors
from dltool.data.base import Examples, StreamedDataset, trained_classes
from dltool.data.box_rows import COLUMNS, CORNERS, IGNORED, LABEL, PADDING
from dltool.data.formats import box_annotations, image_decoding, image_headers, members
from dltool.data.formats.box_annotations import Annotation, Faults
from dltool.data.formats.members import ARCHIVES
from dltool.data.inputs.base import PICTURES
from dltool.errors import one_line

if TYPE_CHECKING:
    import tensorflow as tf

_BATCH = 32  # examples a step when a part is read or checked
DROP, REFUSE = "drop", "refuse"
WAYS = ("keep", "ignore", DROP)  # what may be done with boxes that have a flag


class Part(NamedTuple):
    """A part's images and boxes.

    Args:
        images: paths.
        boxes: those of all images in a row, float32 (boxes, 6), in pixels of the resized images.
        ends: where each image's boxes begin, int64 (images + 1,).
    """

    images: list[str]
    boxes: np.ndarray
    ends: np.ndarray

    def padded(self, most: int, indices: np.ndarray | None = None) -> np.ndarray:
        """Return the boxes of some images, float32 (images, most, 6)."""
        indices = np.arange(len(self.images)) if indices is None else indices
        y = np.tile(np.array(PADDING, np.float32), (len(indices), most, 1))
        for row, index in zip(y, indices, strict=True):
            own = self.boxes[self.ends[index] : self.ends[index + 1]]
            row[: len(own)] = own
        return y


class BoxedImages(StreamedDataset):
    """Images and boxes: x uint8 (rows, columns, channels), y float32 (max_boxes, 6).

    A subclass gives `_annotations` and, where files list the classes, `_listed_classes`.
    """

    task = "detection"
    pixel_range = (0, 255)
    new_examples = PICTURES

    def __init__(
        self,
        path: str | os.PathLike,
        classes: Sequence[str] | None,
        image_size: Sequence[int] | None,
        color_mode: str,
        interpolation: str,
        faulty: str,
        anchors: int | None,
    ):
        name = type(self).__name__
        self.path = arguments.existing(name, "path", path)
        if self.path.is_file() and not self.path.name.lower().endswith(ARCHIVES):
            raise arguments.wrong(name, "path", f"a folder or an archive ({', '.join(ARCHIVES)})", str(path))
        self._given_classes = None if classes is None else arguments.names(name, "classes", classes)
        if self._given_classes == []:
            raise arguments.wrong(name, "classes", "a list of names, at least one", classes)
        self._given_size = None if image_size is None else arguments.image_size(name, "image_size", image_size)
        self.color_mode = arguments.choice(name, "color_mode", color_mode, image_decoding.CHANNELS)
        self.interpolation = arguments.choice(name, "interpolation", interpolation, image_decoding.INTERPOLATIONS)
        self.faulty = arguments.choice(name, "faulty", faulty, (DROP, REFUSE))
        self.anchors = None if anchors is None else arguments.integer(name, "anchors", anchors, 1)

    @classmethod
    def facts_of_arguments(cls, **arguments: Any) -> dict[str, Any]:
        with tempfile.TemporaryDirectory() as anywhere:  # the other arguments are checked as ever
            dataset = cls(**{**arguments, "path": anywhere})
        facts: dict[str, Any] = {}
        if dataset._given_size is not None:
            facts["input_shape"] = (*dataset._given_size, image_decoding.CHANNELS[dataset.color_mode])
        if dataset._given_classes is not None:
            facts |= {"num_classes": len(dataset._given_classes), "class_names": list(dataset._given_classes)}
        return facts

    def as_trained(self, facts: Mapping[str, Any]) -> BoxedImages:
        twin, classes = copy.copy(self), trained_classes(facts)
        for name in ("_parts", "_names", "_read"):
            vars(twin).pop(name, None)
        if "anchors" in facts:
            vars(twin)["_found_anchors"] = [list(anchor) for anchor in facts["anchors"]]
        if classes is not None:
            twin._given_classes, twin.is_trained = [str(name) for name in classes], True
        return twin

    # -- what a format gives -----------------------------------------------------------------------------

    @abstractmethod
    def _annotations(self) -> dict[str, list[Annotation]]:
        """Return the annotations of each part's images, read from files.

        Raises:
            ValueError, OSError: they are missing or damaged.
        """

    def _listed_classes(self) -> list[str] | None:
        """Return the classes that files list, None where they are those of the boxes."""
        return None

    # -- facts -------------------------------------------------------------------------------------------

    def sizes(self) -> dict[str, int]:
        return {part: len(own.images) for part, own in self._parts.items()}

    def facts(self) -> dict[str, Any]:
        facts = {
            "input_shape": (*self.image_size, image_decoding.CHANNELS[self.color_mode]),
            "num_classes": len(self._names),
            "class_names": list(self._names),
            "max_boxes": self._max_boxes,
        }
        if self.anchors is not None:
            facts["anchors"] = self._found_anchors
        return facts

    def files(self) -> list[Path]:
        return [self.path]

    def hints(self) -> list[str]:
        self._parts  # noqa: B018 - counts the faults
        return self._faults.lines(type(self).__name__)

    def origins(self, part: str) -> tuple[str, Sequence[Any]]:
        paths = self._part(part).images
        if not self.path.is_dir():
            paths = [os.path.relpath(path, self._root) for path in paths]
        return "file", [os.fsencode(path).decode(errors="backslashreplace") for path in paths]

    @cached_property
    def image_size(self) -> tuple[int, int]:
        """(rows, columns) of every image that is read: as given, else that of all images.

        Raises:
            ValueError: none is given and the images differ.
        """
        if self._given_size is not None:
            return self._given_size
        return image_headers.common_size(type(self).__name__, self._read[1].items())

    @cached_property
    def _max_boxes(self) -> int:
        return max(1, *(int(np.diff(part.ends).max()) for part in self._parts.values()))

    @cached_property
    def _found_anchors(self) -> list[list[float]]:
        boxes = self._parts["train"].boxes
        boxes = boxes[boxes[:, IGNORED] == 0]
        try:
            found = find_anchors(boxes[:, 2:4].astype(float) - boxes[:, :2], self.anchors or 1)
        except ValueError as error:
            raise ValueError(f"{type(self).__name__}: training {error}") from error
        return [[round(float(side), 2) for side in anchor] for anchor in found]

    # -- examples ----------------------------------------------------------------------------------------

    def labels(self, part: str) -> np.ndarray:
        return self._part(part).padded(self._max_boxes)

    def class_counts(self, part: str, indices: np.ndarray | None = None) -> np.ndarray:
        """Return how many boxes each class has, int64 (classes,), ignored ones left out."""
        boxes = self._part(part).padded(self._max_boxes, indices).reshape(-1, COLUMNS)
        counts = boxes[(boxes[:, LABEL] >= 0) & (boxes[:, IGNORED] == 0), LABEL]
        return np.bincount(counts.astype(int), minlength=len(self._names))

    def read(self, part: str) -> Examples:
        y = self.labels(part)
        x = np.empty((len(y), *self.facts()["input_shape"]), np.uint8)
        stream = self.stream(part, np.arange(len(y))).batch(_BATCH)
        try:
            for at, (images, _) in zip(range(0, len(y), _BATCH), stream.as_numpy_iterator(), strict=True):
                x[at : at + _BATCH] = images
        except Exception as error:  # TensorFlow's own kind, which need not be imported to be caught
            raise ValueError(self.unreadable(part) or str(error).splitlines()[0]) from error
        return Examples(x, y)

    def stream(self, part: str, order: np.ndarray) -> tf.data.Dataset:
        import tensorflow as tf

        own, most = self._part(part), self._max_boxes
        order = np.asarray(order, np.int64)
        paths = tf.constant([os.fsencode(own.images[index]) for index in order], tf.string)
        rare = tf.constant([image_headers.is_rare(own.images[index]) for index in order], tf.bool)
        boxes, padding = tf.constant(own.boxes), tf.constant([PADDING], tf.float32)

        def load(path: tf.Tensor, is_rare: tf.Tensor, start: tf.Tensor, stop: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            y = tf.concat([boxes[start:stop], tf.repeat(padding, most - (stop - start), axis=0)], axis=0)
            y.set_shape((most, COLUMNS))
            return self._decode(tf.io.read_file(path), is_rare), y

        examples = tf.data.Dataset.from_tensor_slices((paths, rare, own.ends[order], own.ends[order + 1]))
        options = tf.data.Options()
        options.autotune.enabled = False  # its buffers grow until memory is short
        examples = examples.map(load, num_parallel_calls=os.cpu_count(), deterministic=True)
        return examples.with_options(options)

    def unreadable(self, part: str) -> str | None:
        """Return one line on the first image of a part that does not decode, or None."""
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            return next((fault for fault in pool.map(self._fault, self._part(part).images) if fault), None)

    def _fault(self, image: str) -> str | None:
        import tensorflow as tf

        try:
            data = Path(image).read_bytes()
            image_decoding.pillow_pixels(data, self.color_mode)
            self._decode(tf.constant(data), tf.constant(image_headers.is_rare(image)))
        except Exception as error:  # Pillow raises OSError, SyntaxError, ValueError and more for damaged files
            return f"{image} is no readable image ({one_line(error)}): replace or remove it."
        return None

    def _decode(self, data: tf.Tensor, is_rare: tf.Tensor) -> tf.Tensor:
        return image_decoding.decode(data, self.image_size, self.color_mode, self.interpolation, False, is_rare)

    # -- files -------------------------------------------------------------------------------------------

    def _part(self, part: str) -> Part:
        return self._parts[arguments.stored(type(self).__name__, part, self._parts)]

    @cached_property
    def _root(self) -> Path:
        return self.path if self.path.is_dir() else members.extracted(self.path)

    @cached_property
    def _read(self) -> tuple[dict[str, list[Annotation]], dict[str, tuple[int, int]]]:
        """The annotations of each part, and (rows, columns) of each image."""
        parts = self._annotations()
        images = [one.image for own in parts.values() for one in own]
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            return parts, dict(zip(images, pool.map(image_headers.size, images), strict=True))

    @cached_property
    def _names(self) -> list[str]:
        """The names of the classes, in the order of their indices."""
        names = self._given_classes or self._listed_classes()
        if names is None:
            names = sorted({name for own in self._read[0].values() for one in own for name in one.names})
        if not names:
            raise ValueError(f"{self.path} holds no box in any image: annotate some, or give 'classes'.")
        return names

    @cached_property
    def _parts(self) -> dict[str, Part]:
        annotations, sizes = self._read
        self._faults = Faults()
        classes = {name: index for index, name in enumerate(self._names)}
        return {part: self._in_order(own, sizes, classes) for part, own in annotations.items()}

    def _in_order(
        self, annotations: list[Annotation], sizes: dict[str, tuple[int, int]], classes: dict[str, int]
    ) -> Part:
        boxes = []
        for one in annotations:
            size = sizes[one.image]
            if one.size not in (None, size):
                turned = " (turn its pixels as its EXIF data say)" if one.size == size[::-1] else ""
                raise ValueError(
                    f"{one.source} is of an image of {one.size[0]} x {one.size[1]} (rows x columns), {one.image} is "
                    f"{size[0]} x {size[1]}: replace one of them{turned}."
                )
            own = box_annotations.in_order(one, size, classes, self._faults, self.faulty == REFUSE)
            scale = np.divide(self.image_size, size)[::-1]
            own[:, CORNERS] *= np.tile(scale, 2)
            boxes.append(own)
        ends = np.cumsum([0, *map(len, boxes)], dtype=np.int64)
        return Part([one.image for one in annotations], np.concatenate(boxes), ends)
