"""The common base of MNIST and its drop-in replacements: 28 x 28 grey images in IDX files or a Keras .npz."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from dltool.data import arguments
from dltool.data.base import Dataset, Examples
from dltool.data.formats import idx, locate, npy_headers

SIZES = {"train": 60_000, "test": 10_000}  # of the canonical files, checked when they are downloaded
IDX_NAMES = {"train": "train", "test": "t10k"}
IDX_FILES = [(name, kind) for name in IDX_NAMES.values() for kind in ("images-idx3", "labels-idx1")]


class MnistLike(Dataset):
    """Grey images x uint8 (n, 28, 28, 1) and classes y int32 (n,) in 0..9, in parts "train" and "test"."""

    folders: ClassVar[tuple[str, ...]]  # below $DLTOOL_DATA
    cached: ClassVar[str]  # below Keras's cache: an .npz file or a folder of IDX files
    keras_name: ClassVar[str]
    class_names: ClassVar[tuple[str, ...]]
    published: ClassVar[dict[str, tuple[int, ...]]]  # part -> examples of each class in the canonical files

    pixel_range = (0, 255)

    def __init__(self, path: str | os.PathLike | None = None):
        self.path = None
        if path is not None:
            self.path = arguments.existing(type(self).__name__, "path", path, "folder")
            if self._source is None:
                raise FileNotFoundError(
                    f"{self.path} holds no IDX files (train-images-idx3-ubyte[.gz], ...) nor mnist.npz: "
                    f"check the 'path' parameter of {type(self).__name__}."
                )

    def sizes(self) -> dict[str, int]:
        if self._source is None:
            return dict(SIZES)
        return {part: self._size(self._source, part) for part in IDX_NAMES}

    def facts(self) -> dict[str, Any]:
        return {
            "input_shape": (28, 28, 1),
            "num_classes": len(self.class_names),
            "class_names": list(self.class_names),
        }

    def class_sizes(self, part: str) -> Sequence[int] | None:
        return self.published[part] if self._source is None else None

    def labels(self, part: str) -> np.ndarray:
        arguments.stored(type(self).__name__, part, IDX_NAMES)
        if self._source is None:
            return self._downloaded[part].y
        if self._source.suffix == ".npz":
            return self._classes(npy_headers.array(self._source, f"y_{part}"), self._source)
        path = self._idx(self._source, part, "labels-idx1")
        return self._classes(idx.read(path, 1), path)

    def read(self, part: str) -> Examples:
        arguments.stored(type(self).__name__, part, IDX_NAMES)
        if self._source is None:
            return self._downloaded[part]
        size = self._size(self._source, part)
        if self._source.suffix == ".npz":
            x = npy_headers.array(self._source, f"x_{part}")
        else:
            x = idx.read(self._idx(self._source, part, "images-idx3"), 3)
        return Examples(x.reshape(size, 28, 28, 1), self.labels(part))

    @cached_property
    def _source(self) -> Path | None:
        """The folder of IDX files or the .npz file to read; None where only the download is left."""
        if self.path is not None:
            return next(filter(None, map(_data_in, (self.path, self.path / "raw"))), None)
        *own, cache = self._places()
        found = next(filter(None, map(_data_in, own)), None)
        return found or (_data_in(cache) if _complete(cache) else None)

    def _places(self) -> list[Path]:
        return [*locate.data_folders(*self.folders), locate.keras_cache() / self.cached]

    @cached_property
    def _downloaded(self) -> dict[str, Examples]:
        owner = type(self).__name__
        arrays = dict(zip(IDX_NAMES, locate.download(owner, self.keras_name, self._places()), strict=True))
        parts = {}
        for part, (x, y) in arrays.items():
            if x.shape != (SIZES[part], 28, 28):
                raise ValueError(
                    f"{owner}: the downloaded {part} images have shape {x.shape}, expected "
                    f"{(SIZES[part], 28, 28)}: empty {locate.keras_cache()} and run again."
                )
            parts[part] = Examples(x.reshape(-1, 28, 28, 1), self._classes(y, locate.keras_cache()))
        return parts

    def _size(self, source: Path, part: str) -> int:
        """Return the number of examples in a part, from the headers of its images and labels."""
        if source.suffix == ".npz":
            headers = npy_headers.headers(source)
            for key in (f"x_{part}", f"y_{part}"):
                if key not in headers:
                    raise ValueError(f"{source} holds no array '{key}': fetch the file again.")
            images, labels = headers[f"x_{part}"][0], headers[f"y_{part}"][0]
        else:
            images = idx.shape(self._idx(source, part, "images-idx3"), 3)
            labels = idx.shape(self._idx(source, part, "labels-idx1"), 1)
        if images[1:] != (28, 28):
            raise ValueError(f"{source}: {part} images are {images[1:]} pixels, expected (28, 28): check the files.")
        if images[0] != labels[0]:
            raise ValueError(f"{source}: {images[0]} {part} images but {labels[0]} labels: fetch both files again.")
        return images[0]

    def _idx(self, source: Path, part: str, kind: str) -> Path:
        path = idx.find(source, IDX_NAMES[part], kind)
        if path is None:
            name = f"{IDX_NAMES[part]}-{kind}-ubyte.gz"
            raise FileNotFoundError(f"{source} holds no {name} (nor {name.removesuffix('.gz')}): add it.")
        return path

    def _classes(self, y: np.ndarray, source: Path) -> np.ndarray:
        if y.size and not 0 <= int(y.min()) <= int(y.max()) < len(self.class_names):
            raise ValueError(
                f"{source}: labels reach from {y.min()} to {y.max()}, expected 0 to "
                f"{len(self.class_names) - 1}: "
                "fetch the label files again."
            )
        return y.astype(np.int32)


def _data_in(place: Path) -> Path | None:
    """Return the place of the data in or at `place`, or None.

    It is an .npz file, or a folder with any of the IDX files.
    """
    if place.is_file():
        return place if place.suffix == ".npz" else None
    if any(idx.find(place, name, kind) for name, kind in IDX_FILES):
        return place
    return place / "mnist.npz" if (place / "mnist.npz").is_file() else None


def _complete(place: Path) -> bool:
    """Return whether a download into `place` was finished: it may have been interrupted between files."""
    return place.is_file() or all(idx.find(place, name, kind) for name, kind in IDX_FILES)
