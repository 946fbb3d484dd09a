"""The common base of CIFAR-10 and CIFAR-100: 32 x 32 colour images as batches or class folders."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from dltool.data import arguments
from dltool.data.base import Dataset, Examples
from dltool.data.formats import cifar_batches, cifar_folders, locate

SIZES = {"train": 50_000, "test": 10_000}  # of the canonical files, checked when they are downloaded


class CifarLike(Dataset):
    """Colour images x uint8 (n, 32, 32, 3) and classes y int32 (n,), in parts "train" and "test"."""

    layout: ClassVar[cifar_batches.Layout]
    folder: ClassVar[str]  # below $DLTOOL_DATA, and the module in keras.datasets
    folder_classes: ClassVar[list[str]]  # names of class folders, in label order
    label_key: str  # of the labels in pickled batches

    pixel_range = (0, 255)

    def __init__(self, path: str | os.PathLike | None = None):
        self._labels: dict[str, np.ndarray] = {}
        self._sizes: dict[str, int] | None = None
        self._listings: dict[str, list[tuple[int, str, Callable[[], bytes]]]] = {}
        self.path = None
        if path is not None:
            self.path = arguments.existing(type(self).__name__, "path", path, "folder")
            if not _holds(self.path, self.layout):
                raise FileNotFoundError(
                    f"{self.path} holds neither {self.layout.stem} batches (or their .tar.gz) nor train and "
                    "test "
                    f"class folders (or train.tar.gz): check the 'path' parameter of {type(self).__name__}."
                )

    def class_names(self) -> list[str]:
        """Class names in label order."""
        return self.folder_classes if self._batches else self._folder_names

    def sizes(self) -> dict[str, int]:
        if self._place is None:
            return dict(SIZES)
        if self._sizes is not None:
            return dict(self._sizes)
        return {part: len(self.labels(part)) for part in SIZES}

    def facts(self) -> dict[str, Any]:
        names = self.class_names()
        return {"input_shape": (32, 32, 3), "num_classes": len(names), "class_names": list(names)}

    def remember_sizes(self, sizes: Mapping[str, int]) -> None:
        """Take the sizes of parts as they were counted before, so that no archive is unpacked for them."""
        self._sizes = dict(sizes)

    def files(self) -> list[Path] | None:
        if self._place is None:
            return None
        if self._batches:
            return [self._batches]
        return [self._folder(part) for part in SIZES] + [
            listing for listing in [self._place / cifar_folders.ORDER] if listing.is_file()
        ]

    def class_sizes(self, part: str) -> Sequence[int] | None:
        classes = len(self.class_names())
        return [SIZES[part] // classes] * classes if self._place is None else None

    def labels(self, part: str) -> np.ndarray:
        arguments.stored(type(self).__name__, part, SIZES)
        if part not in self._labels:
            if self._place is None or self._batches:
                self._labels[part] = self.read(part).y
            else:
                images = cifar_folders.listing(self._folder(part), self._folder_names)
                self._listings[part] = images  # `read` needs not unpack the archive once more
                self._labels[part] = self._classes([label for label, _, _ in images], self._folder(part))
        return self._labels[part]

    def read(self, part: str) -> Examples:
        arguments.stored(type(self).__name__, part, SIZES)
        if self._place is None:
            return self._downloaded[part]
        if self._batches:
            x, labels = cifar_batches.read(self._batches, self.layout, part, self.label_key)
            return Examples(x, self._classes(labels, self._batches, direct=True))
        images = self._listings.pop(part, None) or cifar_folders.listing(self._folder(part), self._folder_names)
        labels = self._classes([label for label, _, _ in images], self._folder(part))
        return Examples(cifar_folders.decode(self._folder(part), images), labels)

    def origins(self, part: str) -> tuple[str, Sequence[Any]]:
        if self._place is None or self._batches:
            return super().origins(part)
        return "file", [name for _, name, _ in cifar_folders.listing(self._folder(part), self._folder_names)]

    def label_of_folder(self, label: int) -> int:
        """Return the class of the folder number `label` of `folder_classes`."""
        return label

    @cached_property
    def _place(self) -> Path | None:
        """The folder to read from; None where only the download is left."""
        if self.path is not None:
            return self.path
        found = [place for place in locate.data_folders(self.folder) if _holds(place, self.layout)]
        if found:
            return found[0]
        for place in self._cache():
            batches = cifar_batches.find(place, self.layout)
            if batches and cifar_batches.complete(batches, self.layout):  # extraction may have been interrupted
                return place
        return None

    @cached_property
    def _batches(self) -> Path | None:
        return cifar_batches.find(self._place, self.layout) if self._place else None

    @cached_property
    def _folder_names(self) -> list[str]:
        if self._place is None:
            return self.folder_classes
        return cifar_folders.class_order(self._place, self.folder_classes)

    def _folder(self, part: str) -> Path:
        place = cifar_folders.find(self._place, part) if self._place else None
        if place is None:
            raise FileNotFoundError(f"{self._place} holds no {part} folder nor {part}.tar.gz: add it.")
        return place

    def _cache(self) -> list[Path]:
        stem = self.layout.stem + ("-batches-py" if self.layout.stem == "cifar-10" else "-python")
        return [locate.keras_cache() / f"{stem}-target", locate.keras_cache()]

    @cached_property
    def _downloaded(self) -> dict[str, Examples]:
        looked = [*locate.data_folders(self.folder), *self._cache()]
        locate.download(type(self).__name__, self.folder, looked)
        for place in self._cache():
            batches = cifar_batches.find(place, self.layout)
            if batches:
                break
        else:
            raise FileNotFoundError(f"Keras left no {self.layout.stem} batches in {self._cache()[0]}: run again.")
        parts = {}
        for part, size in SIZES.items():
            x, y = cifar_batches.read(batches, self.layout, part, self.label_key)
            if len(x) != size:
                raise ValueError(f"{batches} holds {len(x)} {part} images, expected {size}: remove it and run again.")
            parts[part] = Examples(x, self._classes(y, batches, direct=True))
        return parts

    def _classes(self, labels: list[int] | np.ndarray, origin: Path, direct: bool = False) -> np.ndarray:
        y = np.asarray(labels)
        if not direct:
            y = np.array([self.label_of_folder(i) for i in range(len(self.folder_classes))])[y]
        n = len(self.class_names())
        if y.size and not 0 <= int(y.min()) <= int(y.max()) < n:
            raise ValueError(
                f"{origin}: labels reach from {y.min()} to {y.max()}, expected 0 to {n - 1}: fetch it again."
            )
        return y.astype(np.int32)


def _holds(place: Path, layout: cifar_batches.Layout) -> bool:
    return bool(cifar_batches.find(place, layout) or cifar_folders.find(place, "train"))
