"""Annotations in the manner of COCO: one JSON file for all images of a part."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from dltool.data.formats import members
from dltool.data.formats.box_annotations import Annotation
from dltool.data.formats.class_folders import PART_FOLDERS
from dltool.data.formats.mask_folders import PART
from dltool.errors.damage import undamaged

LARGEST = 2**31  # bytes of a JSON file; that of COCO's 118,287 training images has 4.7e8


def scan(root: Path, images: str, annotations: str) -> dict[str, tuple[Path, Path]]:
    """Return the folder of images and the JSON file of each part.

    Args:
        root: folder; a single folder in it that holds all, as in most archives, is gone into.
        images, annotations: names in `root`, with {part} for the part's word; without it there is one part, "train".
    Raises:
        ValueError: there is no such file or folder.
    """
    for top in members.tops(root):
        found: dict[str, tuple[Path, Path]] = {}
        for part, words in PART_FOLDERS.items():
            for word in words if PART in annotations else words[:1] if part == "train" else ():
                pair = top / images.replace(PART, word), top / annotations.replace(PART, word)
                if pair[0].is_dir() and pair[1].is_file():
                    if part in found:
                        raise ValueError(f"{top} holds the {part} part twice: {found[part][1]} and {pair[1]}.")
                    found[part] = pair
        if "train" in found:
            return found
    raise ValueError(
        f"{root} has no folder '{images}' with a file '{annotations}': name them with 'images' and 'annotations', "
        f"where {PART} stands for train, val or test."
    )


def read(images: Path, path: Path, crowd: str) -> tuple[list[Annotation], list[str]]:
    """Return the boxes of each image, and the names of the classes in the order of their numbers.

    Args:
        images: the folder that names of images are relative to.
        path: of the annotations.
        crowd: what is done with boxes around a crowd: "keep", "ignore" or "drop".
    Raises:
        ValueError: the file is damaged, hostile or no such annotations, or an image is missing.
    """
    with undamaged(path, "correct or replace it.", "is no annotation file of COCO"):
        if (size := path.stat().st_size) > LARGEST:
            raise ValueError(f"it has {size / 2**30:.1f} GiB, more than {LARGEST // 2**30}")
        content = json.loads(path.read_text("utf-8-sig"))
        if not isinstance(content, dict):
            raise ValueError("it holds no object with 'images', 'annotations' and 'categories'")
        classes = _classes(_rows(content, "categories"))
        places: dict[int, tuple[Any, list[Any]]] = {_id(row, "image"): (row, []) for row in _rows(content, "images")}
        if len(places) < len(content["images"]):
            raise ValueError("two images have one 'id'")
        for row in _rows(content, "annotations"):
            number = _id(row, "annotation")
            if row.get("image_id") not in places:
                raise ValueError(f"annotation {number} is of image {row.get('image_id')!r}, which is not listed")
            if row.get("category_id") not in classes:
                raise ValueError(f"annotation {number} is of category {row.get('category_id')!r}, which is not listed")
            if row.get("iscrowd", 0) not in (0, 1):
                raise ValueError(f"annotation {number}: iscrowd is {row['iscrowd']!r}, not 0 or 1")
            if not (row.get("iscrowd", 0) and crowd == "drop"):
                places[row["image_id"]][1].append((number, _box(row, number), row))
        found = [_annotation(images, path, image, boxes, classes, crowd) for image, boxes in places.values()]
    for one in found:
        if not os.path.isfile(one.image):  # noqa: PTH113 - of many
            raise ValueError(f"{path} lists the image {one.image}, which is not there: add it, or remove its entry.")
    if not found:
        raise ValueError(f"{path} lists no images: replace or remove it.")
    return found, [classes[number] for number in sorted(classes)]


def _rows(content: Mapping[str, Any], key: str) -> list[dict[str, Any]]:
    rows = content.get(key)
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ValueError(f"'{key}' is no list of objects")
    return rows


def _id(row: Mapping[str, Any], what: str) -> int:
    number = row.get("id")
    if isinstance(number, bool) or not isinstance(number, int):
        raise ValueError(f"an {what} has the id {number!r}, no integer")
    return number


def _classes(categories: list[dict[str, Any]]) -> dict[int, str]:
    """Return the name of each category by its number."""
    classes = {_id(row, "category"): row.get("name") for row in categories}
    names = list(classes.values())
    if len(classes) < len(categories) or len(set(map(str, names))) < len(names):
        raise ValueError("two categories have one 'id' or one 'name'")
    if not all(isinstance(name, str) and name for name in names):
        raise ValueError("a category has no 'name'")
    return {number: str(name) for number, name in classes.items()}


def _box(row: Mapping[str, Any], number: int) -> list[float]:
    """Return x_min, y_min, x_max, y_max of a row's [x, y, width, height]."""
    box = row.get("bbox")
    if not isinstance(box, list) or len(box) != 4 or not all(type(side) in (int, float) for side in box):
        raise ValueError(f"annotation {number}: bbox is {str(box)[:60]}, not four numbers")
    x, y, width, height = (float(side) if abs(side) < 1e300 else math.inf for side in box)
    return [x, y, x + width, y + height]


def _annotation(
    images: Path, path: Path, image: Mapping[str, Any], boxes: list[Any], classes: Mapping[int, str], crowd: str
) -> Annotation:
    name = image.get("file_name")
    if not isinstance(name, str) or not name or "\0" in name or ".." in PurePosixPath(name).parts or name[0] in "/\\":
        raise ValueError(f"image {image['id']} has the file_name {name!r}, no name within {images}")
    sides = image.get("height"), image.get("width")
    known = all(type(side) is int and side > 0 for side in sides)
    return Annotation(
        str(images / name),
        str(path),
        np.array([box for _, box, _ in boxes], float).reshape(-1, 4),
        [classes[row["category_id"]] for _, _, row in boxes],
        np.array([bool(row.get("iscrowd", 0)) and crowd == "ignore" for _, _, row in boxes], bool),
        (sides[0], sides[1]) if known else None,  # type: ignore[arg-type]
        "annotation",
        [number for number, _, _ in boxes],
    )
