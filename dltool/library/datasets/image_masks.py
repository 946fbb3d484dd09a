"""Images with a mask each, the class of every pixel, streamed from disk."""

from __future__ import annotations

import csv
import os
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dltool.data import arguments
from dltool.data.base import Examples, StreamedDataset
from dltool.data.formats import image_decoding, image_headers, mask_folders, members, text_decoding
from dltool.data.formats.mask_decoding import MaskDecoder
from dltool.data.formats.members import ARCHIVES
from dltool.errors import one_line, suggest_or_list

if TYPE_CHECKING:
    import tensorflow as tf

_BATCH = 32  # examples a step when a part is read or checked
_CHANNELS = ("red", "green", "blue")


class ImageMasks(StreamedDataset):
    """Images and masks: x uint8 (rows, columns, channels) in 0..255, y int32 (rows, columns), the class of each pixel.

    `path` holds a folder of images and one of masks, whose files have the same names but for what follows the last
    point. Where these folders, or what lies above them, are named train (or training), val (valid, validation, dev) and
    test (testing), they are those parts; else all is "train". Masks are PNG files of class indices, as grey values or
    palette indices, or of colours. Pixels of the void class have the index num_classes, which `ignore_class:
    ${data.void}` leaves out of the loss; figures leave them out too.

    Args:
        path: the folder, or an archive of it (.zip, .tar, .tar.gz, .tgz), which is extracted once into
            $DLTOOL_CACHE (else $XDG_CACHE_HOME/dltool, else ~/.cache/dltool).
        classes: names of the values 0, 1, ... of masks. Defaults to the lines of classes.txt, or the column name of
            classes.csv, in the folder.
        images: the folder of images; {part} stands for train, val or test, as in "{part}/rgb". Defaults to "images".
        masks: the folder of masks, in the same way. Defaults to "masks".
        void: what is left out of loss and figures: the name of a class, or a value of masks, such as 255. Defaults to
            none.
        image_size: (rows, columns) in pixels that every image and mask is resized to. Defaults to that of the images;
            where they differ in size it must be given.
        color_mode: of the images, "grayscale", "rgb" or "rgba". Defaults to "rgb".
        interpolation: how to resize images, as in ImageFolder; masks take the nearest pixel. Defaults to "bilinear".
        palette: colours of the classes, [[red, green, blue], ...], as which all masks are read. Defaults to the columns
            red, green and blue of classes.csv for masks that are in colours, which others are not.
    Raises:
        FileNotFoundError: if `path` does not exist.
        ValueError: if an argument is out of its range; later, if an image has no mask of its size, or a mask a value of
            no class.
    Limits: the rotation in EXIF data is not applied; masks of JPEG files are useless, since their values are blurred.
    """

    task = "segmentation"
    has_target_files = True
    pixel_range = (0, 255)

    def __init__(
        self,
        path: str | os.PathLike,
        classes: Sequence[str] | None = None,
        images: str = "images",
        masks: str = "masks",
        void: int | str | None = None,
        image_size: Sequence[int] | None = None,
        color_mode: str = "rgb",
        interpolation: str = "bilinear",
        palette: Sequence[Sequence[int]] | None = None,
    ):
        name = type(self).__name__
        self.path = arguments.existing(name, "path", path)
        if self.path.is_file() and not self.path.name.lower().endswith(ARCHIVES):
            raise arguments.wrong(name, "path", f"a folder or an archive ({', '.join(ARCHIVES)})", str(path))
        self._given_classes = None if classes is None else arguments.names(name, "classes", classes)
        for key, value in (("images", images), ("masks", masks)):
            arguments.inner_path(name, key, value)
        self.images, self.masks = images, masks
        if void is not None and (isinstance(void, bool) or not isinstance(void, int | str)):
            raise arguments.wrong(name, "void", "the name of a class or a value of masks", void)
        self.void = arguments.integer(name, "void", void, 0) if isinstance(void, int) else void
        self._given_size = None if image_size is None else arguments.image_size(name, "image_size", image_size)
        self.color_mode = arguments.choice(name, "color_mode", color_mode, image_decoding.CHANNELS)
        self.interpolation = arguments.choice(name, "interpolation", interpolation, image_decoding.INTERPOLATIONS)
        self._given_palette = None if palette is None else _checked_palette(name, palette)
        if self._given_classes is not None:
            self._values  # noqa: B018 - what is wrong with these arguments is no matter of the files

    @classmethod
    def facts_of_arguments(cls, **arguments: Any) -> dict[str, Any]:
        with tempfile.TemporaryDirectory() as anywhere:  # the other arguments are checked as ever
            dataset = cls(**{**arguments, "path": anywhere})
            facts = {} if dataset._given_classes is None else dataset._facts_of_classes()
        if dataset._given_size is not None:
            facts["input_shape"] = (*dataset._given_size, image_decoding.CHANNELS[dataset.color_mode])
        return facts

    # -- what there is -----------------------------------------------------------------------------------

    def sizes(self) -> dict[str, int]:
        return {part: len(pairs) for part, pairs in self._parts.items()}

    def facts(self) -> dict[str, Any]:
        shape = (*self.image_size, image_decoding.CHANNELS[self.color_mode])
        return {"input_shape": shape, **self._facts_of_classes()}

    def files(self) -> list[Path]:
        return [self.path]

    def origins(self, part: str) -> tuple[str, Sequence[Any]]:
        paths = [image if self.path.is_dir() else os.path.relpath(image, self._root) for image, _ in self._pairs(part)]
        return "file", [os.fsencode(path).decode(errors="backslashreplace") for path in paths]

    @cached_property
    def image_size(self) -> tuple[int, int]:
        """(rows, columns) of every image that is read: as given, else that of all images.

        Raises:
            ValueError: none is given and the images differ.
        """
        if self._given_size is not None:
            return self._given_size
        paths = [image for pairs in self._parts.values() for image, _ in pairs]
        return image_headers.common_size(type(self).__name__, ((path, image_headers.size(path)) for path in paths))

    # -- examples ----------------------------------------------------------------------------------------

    def labels(self, part: str) -> np.ndarray:
        return np.stack([self._mask(*pair) for pair in self._pairs(part)])

    def class_counts(self, part: str, indices: np.ndarray | None = None) -> np.ndarray:
        """Return how many pixels each class has, int64 (classes,), void left out."""
        pairs = self._pairs(part)
        chosen = pairs if indices is None else [pairs[index] for index in indices]
        classes, counts = self._decoder.count, np.zeros(self._decoder.count, np.int64)
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            for mask in pool.map(lambda pair: self._mask(*pair), chosen):
                counts += np.bincount(mask.reshape(-1), minlength=classes + 1)[:classes]
        return counts

    def read(self, part: str) -> Examples:
        size = len(self._pairs(part))
        x = np.empty((size, *self.facts()["input_shape"]), np.uint8)
        y = np.empty((size, *self.image_size), np.int32)
        stream = self.stream(part, np.arange(size)).batch(_BATCH)
        try:
            for at, (images, masks) in zip(range(0, size, _BATCH), stream.as_numpy_iterator(), strict=True):
                x[at : at + _BATCH], y[at : at + _BATCH] = images, masks
        except Exception as error:  # TensorFlow's own kind, which need not be imported to be caught
            raise ValueError(self.unreadable(part) or str(error).splitlines()[0]) from error
        return Examples(x, y)

    def stream(self, part: str, order: np.ndarray) -> tf.data.Dataset:
        import tensorflow as tf

        pairs, size = self._pairs(part), self.image_size
        images, masks = (
            tf.constant([os.fsencode(pairs[index][side]) for index in order], tf.string) for side in (0, 1)
        )
        rare = tf.constant([image_headers.is_rare(pairs[index][0]) for index in order], tf.bool)
        self._decoder  # noqa: B018 - an error of it is raised here, not within the graph

        def load(path: tf.Tensor, mask: tf.Tensor, is_rare: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            y = tf.numpy_function(self._mask_of_names, [path, mask], tf.int32)
            y.set_shape(size)
            return self._decode(tf.io.read_file(path), is_rare), y

        examples = tf.data.Dataset.from_tensor_slices((images, masks, rare))
        options = tf.data.Options()
        options.autotune.enabled = False  # its buffers grow until memory is short
        examples = examples.map(load, num_parallel_calls=os.cpu_count(), deterministic=True)
        return examples.with_options(options)

    def unreadable(self, part: str) -> str | None:
        """One line on the first image or mask of a part that does not decode, or None."""
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            return next((fault for fault in pool.map(self._fault, self._pairs(part)) if fault), None)

    def _fault(self, pair: tuple[str, str]) -> str | None:
        import tensorflow as tf

        image = pair[0]
        try:
            data = Path(image).read_bytes()
            image_decoding.pillow_pixels(data, self.color_mode)
            self._decode(tf.constant(data), tf.constant(image_headers.is_rare(image)))
        except Exception as error:  # Pillow raises OSError, SyntaxError, ValueError and more for damaged files
            return f"{image} is no readable image ({one_line(error)}): replace or remove it."
        return self._fault_of_mask(pair)

    def wrong_target(self, part: str) -> str | None:
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            return next((fault for fault in pool.map(self._fault_of_mask, self._pairs(part)) if fault), None)

    def _fault_of_mask(self, pair: tuple[str, str]) -> str | None:
        try:
            self._targets(*pair)
        except Exception as error:
            text = one_line(error)
            return text if pair[1] in text else f"{pair[1]} is no readable mask ({text}): replace or remove it."
        return None

    def _mask_of_names(self, image: bytes, mask: bytes) -> np.ndarray:
        return self._mask(os.fsdecode(image), os.fsdecode(mask))

    def _mask(self, image: str, path: str) -> np.ndarray:
        """Return a mask's targets, int32 (rows, columns), resized to the nearest pixel.

        Raises:
            ValueError: it is damaged, has a value of no class or another size than its image.
        """
        mask = self._targets(image, path)
        rows, columns = (  # of the pixel whose middle is nearest, as tf.image.resize takes it
            np.minimum(((np.arange(new) + 0.5) * old / new).astype(int), old - 1)
            for new, old in zip(self.image_size, mask.shape, strict=True)
        )
        return mask if mask.shape == self.image_size else mask[rows[:, np.newaxis], columns]

    def _targets(self, image: str, path: str) -> np.ndarray:
        """Return a mask's targets, int32 (rows, columns), in the size of its image."""
        with open(path, "rb") as file:
            data = file.read()
        try:
            mask = self._decoder.decode(data)
        except (OSError, ValueError, SyntaxError) as error:
            raise ValueError(
                f"{path} is no readable mask ({one_line(error)}): replace it or change 'classes'."
            ) from error
        if mask.shape != (size := image_headers.size(image)):
            own = f"{mask.shape[0]} x {mask.shape[1]} (rows x columns)"
            raise ValueError(f"{path} is {own}, its image {size[0]} x {size[1]}: replace one of them.")
        return mask

    def _decode(self, data: tf.Tensor, is_rare: tf.Tensor) -> tf.Tensor:
        return image_decoding.decode(data, self.image_size, self.color_mode, self.interpolation, False, is_rare)

    # -- files and classes -------------------------------------------------------------------------------

    def _pairs(self, part: str) -> mask_folders.Pairs:
        return self._parts[arguments.stored(type(self).__name__, part, self._parts)]

    @cached_property
    def _root(self) -> Path:
        return self.path if self.path.is_dir() else members.extracted(self.path)

    @cached_property
    def _parts(self) -> dict[str, mask_folders.Pairs]:
        return mask_folders.scan(self._root, self.images, self.masks)

    @cached_property
    def _names(self) -> list[str]:
        """The names of the values 0, 1, ... of masks."""
        names = self._given_classes if self._given_classes is not None else [row["name"] for row in self._table]
        if not names:
            raise ValueError(f"{self.path} has no classes.txt or classes.csv: name the masks' values with 'classes'.")
        return names

    @cached_property
    def _table(self) -> list[dict[str, str]]:
        """Rows of classes.csv, or of classes.txt, in the folder; empty where there are none."""
        for name in ("classes.csv", "classes.txt"):
            for path in [self._root / name, *sorted(self._root.glob(f"*/{name}"))]:
                if not path.is_file():
                    continue
                lines = text_decoding.read(path).splitlines()
                if name.endswith(".txt"):
                    return [{"name": line.strip()} for line in lines if line.strip()]
                rows = list(csv.DictReader(lines))
                if not rows or "name" not in rows[0]:
                    raise ValueError(f"{path} has no column 'name': add it, or give 'classes'.")
                return rows
        return []

    @cached_property
    def _colors(self) -> list[list[int]] | None:
        """Colours of the values 0, 1, ... of masks, None where they are not known."""
        if self._given_palette is not None:
            return self._given_palette
        if [row["name"] for row in self._table] != self._names or not {*_CHANNELS} <= self._table[0].keys():
            return None
        try:
            return _checked_palette("", [[int(row[channel]) for channel in _CHANNELS] for row in self._table])
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"{self._root}: the columns red, green and blue of classes.csv must hold ints from 0 to 255. "
                "Correct them, or give 'palette'."
            ) from error

    @cached_property
    def _void(self) -> int | None:
        if not isinstance(self.void, str):
            return self.void
        if self.void not in self._names:
            near = suggest_or_list(self.void, self._names, "Classes")
            must = "one of the classes or a value of masks"
            raise ValueError(f"{arguments.wrong(type(self).__name__, 'void', must, self.void)}{near}")
        return self._names.index(self.void)

    @cached_property
    def _values(self) -> list[int]:
        """The values of masks that stand for classes.

        Raises:
            ValueError: they are fewer than 2.
        """
        values = [value for value in range(len(self._names)) if value != self._void]
        if len(values) < 2:
            left = f"{len(values)} class{'' if len(values) == 1 else 'es'} besides 'void'"
            raise ValueError(f"{type(self).__name__}: 'classes' has {left}, at least 2 are needed.")
        return values

    @cached_property
    def _decoder(self) -> MaskDecoder:
        return MaskDecoder(self._values, self._void, self._colors, grey_too=self._given_palette is not None)

    def _facts_of_classes(self) -> dict[str, Any]:
        names = [self._names[value] for value in self._values]
        facts: dict[str, Any] = {"num_classes": len(names), "class_names": names, "mask_values": self._values}
        if self._void is not None:
            facts |= {"void": len(names), "void_value": self._void}
        if self._colors is not None:
            facts["class_colors"] = [self._colors[value] for value in self._values if value < len(self._colors)]
        return facts


def _checked_palette(name: str, palette: Any) -> list[list[int]]:
    try:
        colors = [[arguments.integer(name, "palette", channel, 0) for channel in color] for color in palette]
    except TypeError as error:
        raise arguments.wrong(name, "palette", "a list of [red, green, blue]", palette) from error
    if not all(len(color) == 3 and max(color) < 256 for color in colors):
        raise arguments.wrong(name, "palette", "a list of [red, green, blue], each from 0 to 255", palette)
    return colors
