"""Images of shapes with their masks, made for tests."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

CLASSES = ("ground", "disc", "square", "edge")  # edge, value 3, is void


def shapes(count: int, seed: int = 0, size: int = 24) -> tuple[np.ndarray, np.ndarray]:
    """Return images uint8 (count, size, size, 3) and masks uint8 (count, size, size) of values 0 to 3."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:size, :size]
    images = rng.integers(0, 60, (count, size, size, 3)).astype(np.uint8)
    masks = np.zeros((count, size, size), np.uint8)
    for image, mask in zip(images, masks, strict=True):
        row, column, radius = rng.integers(6, size - 6), rng.integers(6, size - 6), rng.integers(3, 6)
        disc = (rows - row) ** 2 + (columns - column) ** 2 <= radius**2
        row, column, half = rng.integers(4, size - 4), rng.integers(4, size - 4), rng.integers(2, 5)
        square = (abs(rows - row) <= half) & (abs(columns - column) <= half)
        mask[disc], mask[square] = 1, 2
        mask[square & ((abs(rows - row) == half) | (abs(columns - column) == half))] = 3
        image[mask == 1, 0] = 220
        image[mask >= 2, 1] = 220
    return images, masks


def write(folder: Path, images: np.ndarray, masks: np.ndarray, names: tuple[str, str] = ("images", "masks")) -> Path:
    """Write images and masks as PNG files 000.png, ... into two folders."""
    for name, pixels in zip(names, (images, masks), strict=True):
        (folder / name).mkdir(parents=True, exist_ok=True)
        for number, one in enumerate(pixels):
            Image.fromarray(one).save(folder / name / f"{number:03d}.png")
    return folder
