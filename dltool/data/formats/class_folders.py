"""Class folders of images: which files are in which part, and of which class."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dltool.data.formats import image_headers
from dltool.data.formats.members import is_junk
from dltool.errors import suggest_or_list

PART_FOLDERS = {  # in any case
    "train": ("train", "training"),
    "validation": ("validation", "val", "valid", "dev"),
    "test": ("test", "testing"),
}


@dataclass(frozen=True)
class Listing:
    """Image files of a part.

    Args:
        paths: file names, by class, then name.
        labels: int32 (files,).
        rare: bool (files,): which ones Pillow has to decode.
    """

    paths: list[str]
    labels: np.ndarray
    rare: np.ndarray


def scan(root: Path, classes: list[str] | None, some_missing: bool = False) -> tuple[list[str], dict[str, Listing]]:
    """Return class names in label order, and each part of <root>/[<any>/..][train|val|test/]<class>/**.

    Names of parts are read in any case. A folder with such a name is a part if it holds folders. If it holds images and
    its siblings have other names, it is a class.

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
                f"{parts['train']} has no class folder '{name}' of 'classes'.{suggest_or_list(name, sorted(train))}"
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
    while len(folders) == 1 and _part(*folders) != "train":  # the top folder of most archives
        (inner,) = folders.values()
        if not _holds_folders(inner):
            break
        root, folders = inner, _folders(inner)
    named = {name: _part(name) for name in folders}
    others = [name for name, part in named.items() if part is None]
    train = next((name for name, part in named.items() if part == "train"), None)
    if train is None:
        if len(folders) > 1 and not others and all(map(_holds_folders, folders.values())):
            raise ValueError(f"{root} holds the parts {' and '.join(sorted(folders))}, but no folder 'train': add it.")
        return {"train": root}
    if others and not _holds_folders(folders[train]):
        return {"train": root}  # a class of that name
    parts: dict[str, Path] = {}
    for name, folder in sorted(folders.items()):
        part = named[name]
        if part is None:
            raise ValueError(f"{folder} lies next to the folder '{train}' but is not a part (val, test): move it away.")
        if part in parts:
            raise ValueError(f"{root} holds the {part} part twice, {parts[part].name} and {name}: keep one.")
        parts[part] = folder
    return parts


def _part(name: str) -> str | None:
    """Return the part that a folder of this name holds, or None."""
    return next((part for part, words in PART_FOLDERS.items() if name.lower() in words), None)


def _holds_folders(folder: Path) -> bool:
    return any(entry.is_dir() and not is_junk(entry.name) for entry in os.scandir(folder))


def _folders(folder: Path) -> dict[str, Path]:
    """Return sub-folders by name, or raise if images lie next to them, which would be ignored."""
    found = {}
    for entry in os.scandir(folder):
        if is_junk(entry.name):
            continue
        if entry.is_dir():
            if any("\udc80" <= letter <= "\udcff" for letter in entry.name):
                raise ValueError(f"{entry.path}: the folder's name is no UTF-8: rename it.")
            found[entry.name] = Path(entry.path)
        elif entry.is_file() and image_headers.coding(entry.path):
            raise ValueError(f"{entry.path} is an image outside of a class folder: move it into one.")
    return found


def _listing(folder: Path, names: list[str]) -> Listing:
    found = _folders(folder)
    for name in sorted(found):
        if name not in names:
            raise ValueError(f"{found[name]} is no known class folder.{suggest_or_list(name, names)}")
    found_images: list[tuple[str, bool]] = []
    labels: list[int] = []
    for label, name in enumerate(names):
        if name not in found:
            continue  # a test part need not show every class
        images = _images(found[name])
        if not images:
            raise ValueError(f"The class folder {found[name]} holds no images: fill or remove it.")
        found_images += images
        labels += [label] * len(images)
    if not found_images:
        raise ValueError(f"{folder} holds no class folders: add them or remove it.")
    paths, rare = zip(*found_images, strict=True)
    return Listing(list(paths), np.array(labels, np.int32), np.array(rare, bool))


def _images(folder: Path) -> list[tuple[str, bool]]:
    """Return (path, whether it is rare) of each image."""
    images = []
    for top, folders, files in os.walk(folder, followlinks=True):
        folders[:] = sorted(name for name in folders if not is_junk(name))
        for name in sorted(files):
            if is_junk(name):
                continue
            path = f"{top}{os.sep}{name}"
            coding = image_headers.coding(path)
            if coding is None:
                raise ValueError(f"{path} is no {', '.join(image_headers.FORMATS)} image: convert or remove it.")
            images.append((path, coding.is_rare))
    return images
