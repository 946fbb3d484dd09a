"""Class folders of images: which files are in which part, and of which class."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dltool.datasets import arguments
from dltool.datasets.members import is_junk

PART_FOLDERS = {
    "train": ("train",),
    "validation": ("validation", "val", "valid"),
    "test": ("test",),
}
# First bytes of the formats that TensorFlow decodes.
MAGIC = {b"\xff\xd8\xff": "JPEG", b"\x89PNG\r\n\x1a\n": "PNG", b"GIF8": "GIF", b"BM": "BMP"}


@dataclass(frozen=True)
class Listing:
    """Image files of a part.

    Args:
        paths: file names, by class, then name.
        labels: int32 (files,).
    """

    paths: list[str]
    labels: np.ndarray


def scan(root: Path, classes: list[str] | None, some_missing: bool = False) -> tuple[list[str], dict[str, Listing]]:
    """Class names in label order, and each part of <root>/[<any>/..][train|val|test/]<class>/**.

    Args:
        root: folder.
        classes: class names in label order, or None for the sorted names of the training class folders.
        some_missing: whether the training part, too, may lack folders of some classes.
    Raises:
        ValueError: if there are fewer than 2 classes, an unknown or empty one, or a file that is no image.
    """
    parts = _parts(root)
    train = _folders(parts["train"])
    names = sorted(train) if classes is None else classes
    for name in names:
        if name not in train and not some_missing:
            raise ValueError(
                f"{parts['train']} has no class folder '{name}' of 'classes'. {arguments.near(name, sorted(train))}"
            )
    if len(names) < 2:
        raise ValueError(
            f"{parts['train']} has {len(names)} class folder{'' if len(names) == 1 else 's'}, at least 2 are "
            "needed: "
            "put the images of each class into a folder of its own."
        )
    return names, {part: _listing(folder, names) for part, folder in parts.items()}


def _parts(root: Path) -> dict[str, Path]:
    folders = _folders(root)
    while len(folders) == 1 and "train" not in folders:  # the top folder of most archives
        (inner,) = folders.values()
        if not any(entry.is_dir() and not is_junk(entry.name) for entry in os.scandir(inner)):
            break
        root, folders = inner, _folders(inner)
    if "train" not in folders:
        return {"train": root}
    parts: dict[str, Path] = {}
    for name, folder in sorted(folders.items()):
        part = next((part for part, words in PART_FOLDERS.items() if name in words), None)
        if part is None:
            raise ValueError(f"{folder} lies beside the folder 'train' but is no part (val, test): move it away.")
        if part in parts:
            raise ValueError(f"{root} holds the {part} part twice, {parts[part].name} and {name}: keep one.")
        parts[part] = folder
    return parts


def _folders(folder: Path) -> dict[str, Path]:
    """Sub-folders by name; an image beside them would be left out silently, so it is an error."""
    found = {}
    for entry in os.scandir(folder):
        if is_junk(entry.name):
            continue
        if entry.is_dir():
            found[entry.name] = Path(entry.path)
        elif _format(entry.path):
            raise ValueError(f"{entry.path} is an image outside of a class folder: move it into one.")
    return found


def _listing(folder: Path, names: list[str]) -> Listing:
    found = _folders(folder)
    for name in sorted(found):
        if name not in names:
            raise ValueError(f"{found[name]} is no known class folder. {arguments.near(name, names)}")
    paths: list[str] = []
    labels: list[int] = []
    for label, name in enumerate(names):
        if name not in found:
            continue  # a test part need not show every class
        images = _images(found[name])
        if not images:
            raise ValueError(f"The class folder {found[name]} holds no images: fill or remove it.")
        paths += images
        labels += [label] * len(images)
    if not paths:
        raise ValueError(f"{folder} holds no class folders: add them or remove it.")
    return Listing(paths, np.array(labels, np.int32))


def _images(folder: Path) -> list[str]:
    images = []
    for top, folders, files in os.walk(folder, followlinks=True):
        folders[:] = sorted(name for name in folders if not is_junk(name))
        for name in sorted(files):
            if is_junk(name):
                continue
            path = f"{top}{os.sep}{name}"
            if not _format(path):
                raise ValueError(f"{path} is no {', '.join(MAGIC.values())} image: convert or remove it.")
            images.append(path)
    return images


def _format(path: str) -> str | None:
    with open(path, "rb") as file:
        head = file.read(8)
    return next((name for magic, name in MAGIC.items() if head.startswith(magic)), None)
