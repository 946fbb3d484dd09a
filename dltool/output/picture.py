"""A picture that visualize-filters shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np


@dataclass(frozen=True)
class Picture:
    """A sheet, and what it was made of.

    Args:
        name: its file's, without the ending.
        title: one line.
        pixels: the sheet, uint8 (rows, columns, 3).
        tiles: its pictures as they were before they were enlarged, for a terminal.
        frames: of a film, sheets.
    """

    name: str
    title: str
    pixels: np.ndarray
    tiles: Sequence[np.ndarray] = ()
    frames: Sequence[np.ndarray] = field(default=())

    def with_film(self, frames: Sequence[np.ndarray]) -> Picture:
        return replace(self, frames=frames)


def file_name(*words: object) -> str:
    """Return words as a file's name: "encoder/conv2d", "A.png" -> "encoder-conv2d-A.png"."""
    text = "-".join(str(word) for word in words)
    return "".join(letter if letter.isalnum() or letter in "-_." else "-" for letter in text)
