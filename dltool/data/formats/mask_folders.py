"""Images and masks in folders: which files are a pair, and in which part."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from dltool.data.formats import image_headers, members
from dltool.data.formats.class_folders import PART_FOLDERS
from dltool.data.formats.members import is_junk

PART = "{part}"  # stands for a part's word in the name of a folder

Pairs = list[tuple[str, str]]  # (image, mask), by name


def scan(root: Path, images: str, masks: str) -> dict[str, Pairs]:
    """Return the pairs of each part.

    Args:
        root: folder; a single folder in it that holds all, as in most archives, is gone into.
        images, masks: names of the two folders in `root`, which hold the files of the one part "train", or a folder for
            each part; or with {part} for the part's word, such as "{part}/images" or "{part}annot".
    Raises:
        ValueError: there are no such folders, an image has no mask or a mask no image, or a file is no image.
    """
    return {part: _pairs(*folders) for part, folders in find(root, images, masks, "masks").items()}


def find(root: Path, images: str, targets: str, argument: str) -> dict[str, tuple[Path, Path]]:
    """Return the folder of images and that of their targets for each part, as `scan` describes them.

    Args:
        argument: a recipe's word for the folder of targets.
    Raises:
        ValueError: there are no such folders.
    """
    for top in members.tops(root):
        for images_of, targets_of in _layouts(top, images, targets):
            parts = _parts(top, images_of, targets_of)
            if "train" in parts:
                return {part: parts[part] for part in PART_FOLDERS if part in parts}
    raise ValueError(
        f"{root} has no folders '{images}' and '{targets}': name them with 'images' and '{argument}', where {PART} "
        "stands for train, val or test."
    )


def _layouts(top: Path, images: str, masks: str) -> Iterator[tuple[str, str]]:
    """Yield names of folders with {part}, or none where there is one part only."""
    if PART in images or PART in masks:
        yield images, masks
        return
    if (top / images).is_dir() and not any(_is_image(entry) for entry in os.scandir(top / images)):
        yield f"{images}/{PART}", f"{masks}/{PART}"
    yield images, masks
    yield f"{PART}/{images}", f"{PART}/{masks}"


def _parts(top: Path, images: str, masks: str) -> dict[str, tuple[Path, Path]]:
    found: dict[str, tuple[Path, Path]] = {}
    for part, words in PART_FOLDERS.items():
        for word in words if PART in images or PART in masks else words[:1] if part == "train" else ():
            pair = top / images.replace(PART, word), top / masks.replace(PART, word)
            if pair[0].is_dir() and pair[1].is_dir():
                if part in found:
                    raise ValueError(f"{top} holds the {part} part twice, {found[part][0].name} and {pair[0].name}.")
                found[part] = pair
    return found


def _pairs(images: Path, masks: Path) -> Pairs:
    files, of_masks = _files(images), _files(masks)
    for stem, path in files.items():
        if stem not in of_masks:
            raise ValueError(f"{path} has no mask {masks / stem}.*: add it, or remove the image.")
    for stem, path in of_masks.items():
        if stem not in files:
            raise ValueError(f"{path} has no image {images / stem}.*: add it, or remove the mask.")
    if not files:
        raise ValueError(f"{images} holds no images: fill or remove it.")
    return [(files[stem], of_masks[stem]) for stem in files]


def _files(folder: Path) -> dict[str, str]:
    """Return path by name without suffix, relative to the folder, sorted."""
    found: dict[str, str] = {}
    for top, folders, files in os.walk(folder, followlinks=True):
        folders[:] = sorted(name for name in folders if not is_junk(name))
        for name in sorted(files):
            path = f"{top}{os.sep}{name}"
            if is_junk(name):
                continue
            if image_headers.coding(path) is None:
                raise ValueError(f"{path} is no {', '.join(image_headers.FORMATS)} image: convert or remove it.")
            stem = os.path.splitext(os.path.relpath(path, folder))[0]  # noqa: PTH122 - not every name is UTF-8
            if stem in found:
                raise ValueError(f"{path} and {found[stem]} have one name: rename or remove one.")
            found[stem] = path
    return found


def _is_image(entry: os.DirEntry[str]) -> bool:
    return entry.is_file() and not is_junk(entry.name)
