"""Small images with boxes, written in the formats of annotations."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

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
