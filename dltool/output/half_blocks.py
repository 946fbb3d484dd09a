"""Pictures in a terminal: two pixels a character, the upper one its ink and the lower one its ground."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np

GAP = 1  # pixels between pictures
BLOCK = "▀"


def half_blocks(pictures: Sequence[np.ndarray], width: int, colors: str = "truecolor") -> str:
    """Small pictures side by side, as many a line as fit; larger ones are thinned out.

    Args:
        pictures: uint8 (rows, columns[, 3]) each.
        width: of the terminal, in characters.
        colors: rich's name of what the terminal can: "truecolor", "256" or "standard".
    """
    from rich.console import Console
    from rich.text import Text

    small = [_thinned(picture, width) for picture in pictures]
    console_file = io.StringIO()
    console = Console(file=console_file, width=width, force_terminal=True, color_system=colors, highlight=False)  # type: ignore[arg-type]
    for line in _lines(small, width):
        tall = max(len(picture) for picture in line)
        tall += tall % 2
        for row in range(0, tall, 2):
            text = Text(no_wrap=True, end="")
            for number, picture in enumerate(line):
                text.append(" " * (GAP if number else 0))
                for column in range(picture.shape[1]):
                    upper, lower = _color(picture, row, column), _color(picture, row + 1, column)
                    style = " on ".join([upper, lower]) if lower else upper
                    text.append(BLOCK if upper else " ", style=style or None)
            console.print(text, end="\n")
        console.print()
    return console_file.getvalue()


def _thinned(picture: np.ndarray, width: int) -> np.ndarray:
    step = -(-picture.shape[1] // width)
    return picture[::step, ::step]


def _lines(pictures: Sequence[np.ndarray], width: int) -> list[list[np.ndarray]]:
    lines: list[list[np.ndarray]] = []
    used = width
    for picture in pictures:
        needed = picture.shape[1] + GAP
        if used + needed > width + GAP:
            lines.append([])
            used = 0
        lines[-1].append(picture)
        used += needed
    return lines


def _color(picture: np.ndarray, row: int, column: int) -> str:
    if row >= len(picture):
        return ""
    red, green, blue = np.broadcast_to(picture[row, column], 3)
    return f"rgb({red},{green},{blue})"
