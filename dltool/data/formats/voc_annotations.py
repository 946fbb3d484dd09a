"""Annotations in the manner of Pascal VOC: an XML file an image, and text files that list the parts."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

import numpy as np

from dltool.data.formats import image_headers, members, text_decoding
from dltool.data.formats.box_annotations import Annotation
from dltool.data.formats.class_folders import PART_FOLDERS
from dltool.errors import one_line
from dltool.errors.damage import undamaged

CORNERS = ("xmin", "ymin", "xmax", "ymax")
LARGEST = 2**24  # bytes of an XML file; a box has about 300
DEEPEST = 32  # elements within each other; annotations have 4
FLAGS = {"0": False, "1": True, "false": False, "true": True, "": False}
SETS = {"train": ("train", "trainval"), **{part: words for part, words in PART_FOLDERS.items() if part != "train"}}

Pairs = list[tuple[str, str]]  # (image, annotations)


def scan(root: Path, images: str, annotations: str, sets: str, parts: Mapping[str, str] | None) -> dict[str, Pairs]:
    """Return image and annotations of each example, by part.

    Args:
        root: folder; a single folder in it that holds all, as in most archives, is gone into.
        images, annotations: names of folders in `root`.
        sets: the folder of text files that list the names of a part's examples, one a line, without suffix. Where there
            is none, all annotations are "train".
        parts: name of the text file of each part, without suffix; None: train (or trainval), val and test.
    Raises:
        ValueError: folders, images or annotations are not there.
    """
    for top in members.tops(root):
        if (top / images).is_dir() and (top / annotations).is_dir():
            break
    else:
        raise ValueError(
            f"{root} has no folders '{images}' and '{annotations}': name them with 'images' and 'annotations', or give "
            "the folder that holds them."
        )
    pictures, files = _by_stem(top / images, None), _by_stem(top / annotations, ".xml")
    if not files:
        raise ValueError(f"{top / annotations} holds no .xml files: fill it or name another with 'annotations'.")
    if parts is None and not (top / sets).is_dir():
        return {"train": [_pair(stem, pictures, files, top / images, top / annotations) for stem in files]}
    found = {}
    for part, file in _lists(top / sets, parts).items():
        stems = [line.strip() for line in text_decoding.read(file).splitlines() if line.strip()]
        if len(set(stems)) < len(stems):
            repeated = next(stem for index, stem in enumerate(stems) if stem in stems[:index])
            raise ValueError(f"{file} lists '{repeated}' twice: remove one line.")
        if not stems:
            raise ValueError(f"{file} lists no examples: fill or remove it.")
        found[part] = [_pair(stem, pictures, files, top / images, top / annotations, file) for stem in stems]
    return found


def _lists(folder: Path, parts: Mapping[str, str] | None) -> dict[str, Path]:
    """Return the text file of each part."""
    if parts is not None:
        lists = {part: folder / f"{name}.txt" for part, name in parts.items()}
        for part, file in lists.items():
            if not file.is_file():
                raise ValueError(f"no file {file} of part '{part}': correct 'parts'.")
        return {part: lists[part] for part in SETS if part in lists}
    files = ((part, (folder / f"{word}.txt" for word in words)) for part, words in SETS.items())
    lists = {part: file for part, paths in files for file in [next((p for p in paths if p.is_file()), None)] if file}
    if "train" not in lists:
        raise ValueError(f"{folder} has no train.txt or trainval.txt: add it, or name other files with 'parts'.")
    return lists


def _by_stem(folder: Path, suffix: str | None) -> dict[str, str]:
    """Return the path of each file by its name without suffix, sorted."""
    found: dict[str, str] = {}
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        stem, own = os.path.splitext(entry.name)  # noqa: PTH122 - not every name is UTF-8
        if entry.is_file() and not members.is_junk(entry.name) and suffix in (None, own.lower()):
            if stem in found:
                raise ValueError(f"{entry.path} and {found[stem]} have one name: rename or remove one.")
            found[stem] = entry.path
    return found


def _pair(
    stem: str,
    pictures: dict[str, str],
    files: dict[str, str],
    images: Path,
    annotations: Path,
    listed: Path | None = None,
) -> tuple[str, str]:
    where = "" if listed is None else f", which {listed} lists"
    if stem not in files:
        raise ValueError(f"no annotations {annotations / stem}.xml{where}: add them, or remove the name.")
    if stem not in pictures:
        raise ValueError(f"{files[stem]} has no image {images / stem}.*{where}: add it, or remove the annotations.")
    return pictures[stem], files[stem]


def read(image: str, path: str, flags: Mapping[str, str], inclusive: bool) -> Annotation:
    """Return the boxes of an image.

    Args:
        image: its path.
        path: of the annotations.
        flags: what is done with boxes that have a flag, "difficult" or "truncated": "keep", "ignore" or "drop".
        inclusive: whether coordinates number pixels from 1, the last one inside.
    Raises:
        ValueError: the file is damaged, hostile or no such annotations.
    """
    with undamaged(path, "correct or remove it.", "is no annotation of Pascal VOC"):
        root = _tree(path)
        if root.tag != "annotation":
            raise ValueError(f"its root is <{root.tag}>, not <annotation>")
        boxes, names, ignored, numbers = [], [], [], []
        for number, thing in enumerate(root.findall("object"), 1):
            raised = {flag: way for flag, way in flags.items() if _flag(thing, flag, number)}
            box, name = _box(thing, number), (thing.findtext("name") or "").strip()
            if not name:
                raise ValueError(f"object {number} has no name")
            if "drop" in raised.values():
                continue
            boxes.append(box)
            names.append(name)
            ignored.append("ignore" in raised.values())
            numbers.append(number)
        size = _size(root)
    corners = np.array(boxes, float).reshape(-1, 4) - (np.array([1, 1, 0, 0]) if inclusive else 0)
    return Annotation(image, path, corners, names, np.array(ignored, bool), size, numbers=numbers)


def _tree(path: str) -> Element:
    """Return the root of an XML file, without document type and entities of its own.

    Raises:
        ValueError: it is too large, nested too deep, has a document type, or is no XML.
    """
    with open(path, "rb", opener=image_headers.without_waiting) as file:
        data = file.read(LARGEST + 1)
    if len(data) > LARGEST:
        raise ValueError(f"it has more than {LARGEST // 2**20} MiB")
    builder, parser, depth = TreeBuilder(), expat.ParserCreate(), 0

    def begin(tag: str, attributes: dict[str, str]) -> None:
        nonlocal depth
        depth += 1
        if depth > DEEPEST:
            raise ValueError(f"its elements are nested more than {DEEPEST} deep")
        builder.start(tag, {})

    def end(tag: str) -> None:
        nonlocal depth
        depth -= 1
        builder.end(tag)

    def refuse(*_: Any) -> None:
        raise ValueError("it has a document type, which can hide much more text than it shows")

    parser.StartElementHandler, parser.EndElementHandler, parser.CharacterDataHandler = begin, end, builder.data
    parser.StartDoctypeDeclHandler = parser.EntityDeclHandler = refuse
    try:
        parser.Parse(data, True)
    except expat.ExpatError as error:
        raise ValueError(f"no XML: {one_line(error)}") from error
    root: Element = builder.close()
    return root


def _size(root: Element) -> tuple[int, int] | None:
    """Return (rows, columns), None where they are not given or 0, as some tools write where they do not know."""
    texts = [(root.findtext(f"size/{side}") or "").strip() for side in ("height", "width")]
    try:
        rows, columns = (int(float(text)) if text else 0 for text in texts)
    except (ValueError, OverflowError) as error:
        raise ValueError(f"its size is {' x '.join(texts)}") from error
    return (rows, columns) if rows and columns else None


def _flag(thing: Element, flag: str, number: int) -> bool:
    text = (thing.findtext(flag) or "").strip().lower()
    if text not in FLAGS:
        raise ValueError(f"object {number}: {flag} is {text[:40]!r}, not 0 or 1")
    return FLAGS[text]


def _box(thing: Element, number: int) -> list[float]:
    corners = []
    for corner in CORNERS:
        text = thing.findtext(f"bndbox/{corner}")
        if text is None:
            raise ValueError(f"object {number} has no bndbox/{corner}")
        try:
            corners.append(float(text))
        except ValueError as error:
            raise ValueError(f"object {number}: {corner} is {text.strip()[:40]!r}, no number") from error
    return corners
