"""Small images with boxes, written in the formats of annotations."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

Things = Sequence[tuple[str, Sequence[float]]]  # class and corners of each box


def boxed_images(count: int, rows: int = 24, columns: int = 32, seed: int = 0) -> tuple[np.ndarray, list[Things]]:
    """Return images uint8 (count, rows, columns, 3), and 1 to 3 boxes of two classes in each."""
    draw = np.random.default_rng(seed)
    images = draw.integers(0, 256, (count, rows, columns, 3)).astype(np.uint8)
    things: list[Things] = []
    for index in range(count):
        own = []
        for number in range(1 + index % 3):
            x, y = draw.integers(0, columns - 8), draw.integers(0, rows - 8)
            width, height = draw.integers(2, 9, 2)
            own.append(("disc" if number % 2 else "square", [int(v) for v in (x, y, x + width, y + height)]))
        things.append(own)
    return images, things


def xml(things: Things, size: tuple[int, int] = (24, 32), flags: str = "") -> str:
    """Return annotations in Pascal VOC's format."""
    objects = "".join(
        f"<object><name>{name}</name>{flags}<bndbox><xmin>{x0}</xmin><ymin>{y0}</ymin><xmax>{x1}</xmax>"
        f"<ymax>{y1}</ymax></bndbox></object>\n"
        for name, (x0, y0, x1, y1) in things
    )
    rows, columns = size
    return f"<annotation><size><width>{columns}</width><height>{rows}</height></size>\n{objects}</annotation>\n"


def write_coco(folder: Path, images: np.ndarray, things: Sequence[Things], /, **changes: Any) -> Path:
    """Write a data set in COCO's layout; `changes` replace what the JSON file holds under a key."""
    (folder / "images").mkdir(parents=True)
    classes = ["square", "disc"]
    content: dict[str, Any] = {"images": [], "annotations": [], "categories": []}
    content["categories"] = [{"id": 3 + 4 * number, "name": name} for number, name in enumerate(classes)]
    for number, (image, own) in enumerate(zip(images, things, strict=True)):
        name = f"{number:03d}.png"
        Image.fromarray(image).save(folder / "images" / name)
        content["images"].append({"id": 100 - number, "file_name": name, "height": len(image), "width": len(image[0])})
        for kind, (x0, y0, x1, y1) in own:
            content["annotations"].append(
                {"id": len(content["annotations"]), "image_id": 100 - number, "bbox": [x0, y0, x1 - x0, y1 - y0],
                 "category_id": 3 + 4 * classes.index(kind), "iscrowd": 0}
            )  # fmt: skip
    (folder / "annotations.json").write_text(json.dumps(content | changes))
    return folder


def write_yolo(folder: Path, images: np.ndarray, things: Sequence[Things], part: str = "") -> Path:
    """Write a part of a data set in YOLO's layout, with classes.txt."""
    for name in ("images", "labels"):
        (folder / name / part).mkdir(parents=True)
    classes = ["square", "disc"]
    (folder / "classes.txt").write_text("\n".join(classes))
    for number, (image, own) in enumerate(zip(images, things, strict=True)):
        rows, columns = image.shape[:2]
        Image.fromarray(image).save(folder / "images" / part / f"{number:03d}.png")
        lines = [
            f"{classes.index(kind)} {(x0 + x1) / 2 / columns:.6f} {(y0 + y1) / 2 / rows:.6f} "
            f"{(x1 - x0) / columns:.6f} {(y1 - y0) / rows:.6f}\n"
            for kind, (x0, y0, x1, y1) in own
        ]
        (folder / "labels" / part / f"{number:03d}.txt").write_text("".join(lines))
    return folder


def write_voc(
    folder: Path, images: np.ndarray, things: Sequence[Things], parts: dict[str, Sequence[int]] | None = None
) -> Path:
    """Write a data set in Pascal VOC's layout; `parts` lists the examples of each ImageSets file."""
    for name in ("JPEGImages", "Annotations", *(["ImageSets/Main"] if parts else [])):
        (folder / name).mkdir(parents=True)
    for number, (image, own) in enumerate(zip(images, things, strict=True)):
        Image.fromarray(image).save(folder / f"JPEGImages/{number:03d}.png")
        (folder / f"Annotations/{number:03d}.xml").write_text(xml(own, image.shape[:2]))
    for part, numbers in (parts or {}).items():
        (folder / f"ImageSets/Main/{part}.txt").write_text("".join(f"{number:03d}\n" for number in numbers))
    return folder
