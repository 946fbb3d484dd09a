"""Labels in the manner of YOLO: a text file an image, with a line `class x y width height` a box."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dltool.data.formats import image_headers, members, text_decoding
from dltool.data.formats.box_annotations import Annotation
from dltool.errors.damage import undamaged

NAMES = "classes.txt"
LARGEST = 2**24  # bytes of a file of labels or names


def pairs(images: Path, labels: Path) -> list[tuple[str, str | None]]:
    """Return each image with its file of labels, None where it has none, by name.

    Raises:
        ValueError: a file is no image, or labels have no image.
    """
    pictures, texts = _by_stem(images), _by_stem(labels, ".txt")
    for stem, path in texts.items():
        if stem not in pictures:
            raise ValueError(f"{path} has no image {images / stem}.*: add it, or remove the labels.")
    for path in pictures.values():
        if image_headers.coding(path) is None:
            raise ValueError(f"{path} is no {', '.join(image_headers.FORMATS)} image: convert or remove it.")
    if not pictures:
        raise ValueError(f"{images} holds no images: fill or remove it.")
    return [(path, texts.get(stem)) for stem, path in pictures.items()]


def _by_stem(folder: Path, suffix: str | None = None) -> dict[str, str]:
    """Return path by name without suffix, relative to the folder, sorted."""
    found: dict[str, str] = {}
    for top, folders, files in os.walk(folder, followlinks=True):
        folders[:] = sorted(name for name in folders if not members.is_junk(name))
        for name in sorted(files):
            path = f"{top}{os.sep}{name}"
            stem, own = os.path.splitext(os.path.relpath(path, folder))  # noqa: PTH122 - not every name is UTF-8
            if members.is_junk(name) or name == NAMES or suffix not in (None, own.lower()):
                continue
            if own.lower() == ".txt" and suffix is None:
                continue  # labels next to their images
            if stem in found:
                raise ValueError(f"{path} and {found[stem]} have one name: rename or remove one.")
            found[stem] = path
    return found


def class_names(root: Path, labels: Sequence[Path]) -> list[str] | None:
    """Return the names of the classes 0, 1, ..., None where no file gives them.

    They are the lines of classes.txt, in the folder or next to labels, or the `names` of data.yaml.

    Raises:
        ValueError: such a file is damaged or names a class twice.
    """
    for top in members.tops(root):
        for path in (top / NAMES, *(folder / NAMES for folder in labels)):
            if path.is_file():
                return _distinct([line.strip() for line in _text(path).splitlines() if line.strip()], path)
        if (path := top / "data.yaml").is_file():
            return _distinct(_of_yaml(path), path)
    return None


def _distinct(names: list[str], path: Path) -> list[str]:
    if len(set(names)) < len(names) or not names:
        raise ValueError(f"{path} names {'a class twice' if names else 'no classes'}: correct it, or give 'classes'.")
    return names


def _of_yaml(path: Path) -> list[str]:
    import yaml

    with undamaged(path, "correct it, or give 'classes'.", "does not give names of classes"):
        content = yaml.load(_text(path), getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        names: Any = content.get("names") if isinstance(content, dict) else None
        if isinstance(names, dict) and sorted(names) == list(range(len(names))):
            names = [names[number] for number in range(len(names))]
        if not isinstance(names, list) or not all(isinstance(name, str | int) for name in names):
            raise ValueError("'names' is no list, nor a mapping of 0, 1, ... to names")
        return [str(name) for name in names]


def _text(path: Path) -> str:
    if (size := path.stat().st_size) > LARGEST:
        raise ValueError(f"{path} has {size / 2**20:.0f} MiB, more than {LARGEST // 2**20}: replace it.")
    return text_decoding.read(path)


def read(image: str, path: str | None, names: Sequence[str] | None) -> Annotation:
    """Return the boxes of an image.

    Args:
        image: its path.
        path: of its labels; None: it has no boxes.
        names: of the classes 0, 1, ...; None: they are called by their numbers.
    Raises:
        ValueError: a line is no box.
    """
    boxes, classes, numbers = [], [], []
    for number, line in enumerate(_text(Path(path)).split("\n") if path is not None else (), 1):
        if not (words := line.split()):
            continue
        try:
            index, (x, y, width, height) = int(words[0]), map(float, words[1:])
            if index < 0:
                raise ValueError
        except ValueError as error:
            raise ValueError(
                f"{path}:{number}: is no line 'class x y width height': {line.strip()[:60]!r}. Correct or remove it."
            ) from error
        boxes.append([x - width / 2, y - height / 2, x + width / 2, y + height / 2])
        classes.append(names[index] if names is not None and index < len(names) else str(index))
        numbers.append(number)
    return Annotation(
        image,
        path or image,
        np.array(boxes, float).reshape(-1, 4),
        classes,
        np.zeros(len(boxes), bool),
        word="line",
        numbers=numbers,
        relative=True,
    )
