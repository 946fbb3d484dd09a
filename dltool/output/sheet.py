"""Sheets of small pictures: a title, labels, and tiles enlarged by whole factors."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dltool.output import matplotlib_settings

MARGIN, GAP, LINE = 18, 8, 15  # pixels
TEXT, TITLE = 11, 15  # sizes of the fonts
INK, FAINT, FRAME = (20, 20, 20), (90, 90, 90), (170, 170, 170)
WIDE = 1100  # pixels that a sheet may have before it goes on in a new row


@dataclass(frozen=True)
class Tile:
    """A picture of a sheet.

    Args:
        pixels: uint8 (rows, columns) or (rows, columns, 3).
        label: lines of text below it.
    """

    pixels: np.ndarray
    label: str = ""


Rows = Sequence[Sequence[Tile | None]]


def in_rows(tiles: Sequence[Tile], size: int = 72) -> list[list[Tile]]:
    """Return tiles in about as many rows as columns, no wider than a page."""
    width = max((_cell(tile, size)[0] for tile in tiles), default=1) + GAP
    columns = max(1, min(int(np.ceil(np.sqrt(len(tiles) * 1.6))), WIDE // width))
    return [list(tiles[start : start + columns]) for start in range(0, len(tiles), columns)]


def sheet(
    title: str,
    rows: Rows,
    *,
    notes: Sequence[str] = (),
    row_labels: Sequence[str] = (),
    column_labels: Sequence[str] = (),
    size: int = 72,
) -> np.ndarray:
    """Draw tiles in a grid, uint8 (rows, columns, 3).

    Args:
        rows: of tiles, None for an empty place.
        notes: lines below the title.
        row_labels, column_labels: left of the rows and above the columns; lines of text.
        size: pixels that a tile's longer side is enlarged to, by the nearest whole factor; larger ones stay.
    """
    from PIL import Image, ImageDraw

    font, bold = load_font(TEXT), load_font(TITLE, "DejaVuSans-Bold.ttf")
    tiles = [tile for row in rows for tile in row if tile is not None]
    cells = [_cell(tile, size) for tile in tiles]
    widths = [*(cell[0] for cell in cells), *(_width(text, font) for text in column_labels)]
    wide, tall = max(widths, default=1), max((cell[1] for cell in cells), default=1)
    below = max((_lines(tile.label) for tile in tiles), default=0) * LINE
    left = max((_width(text, font) for text in row_labels), default=-GAP) + GAP
    above = max(map(_lines, column_labels), default=0) * LINE
    head = [(title, bold), *((note, font) for note in notes)]
    top = MARGIN + 24 + len(notes) * LINE + 6
    count = max(map(len, rows), default=1)
    width = max(left + count * (wide + GAP) - GAP, *(_width(text, face) for text, face in head)) + 2 * MARGIN
    step = tall + below + GAP + (4 if below else 0)
    height = top + above + len(rows) * step + MARGIN - GAP
    canvas = Image.new("RGB", (int(width), int(height)), "white")
    draw = ImageDraw.Draw(canvas)
    draw.text((MARGIN, MARGIN - 4), title, INK, font=bold)
    for number, note in enumerate(notes):
        draw.text((MARGIN, MARGIN + 22 + number * LINE), note, FAINT, font=font)
    for column, text in enumerate(column_labels):
        at = (MARGIN + left + column * (wide + GAP) + wide / 2, top + above - 3)
        draw.multiline_text(at, text, INK, font=font, anchor="md", align="center", spacing=2)
    for number, row in enumerate(rows):
        y = top + above + number * step
        if row_labels:
            middle = (MARGIN, y + tall / 2)
            draw.multiline_text(middle, row_labels[number], INK, font=font, anchor="lm", spacing=2)
        for column, tile in enumerate(row):
            if tile is not None:
                x = MARGIN + left + column * (wide + GAP)
                _paste(canvas, draw, tile, (x, y, wide, tall), size, font)
    return np.asarray(canvas)


def of_one_size(sheets: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Return sheets as frames of a film, with white added on the right and below."""
    rows, columns = (max(one.shape[axis] for one in sheets) for axis in (0, 1))
    ends = [((0, rows - one.shape[0]), (0, columns - one.shape[1]), (0, 0)) for one in sheets]
    return [np.pad(one, end, constant_values=255) for one, end in zip(sheets, ends, strict=True)]


def stacked(sheets: Sequence[np.ndarray]) -> np.ndarray:
    """Return sheets below each other, uint8 (rows, columns, 3), the narrower ones filled with white on the right."""
    widest = max(one.shape[1] for one in sheets)
    return np.concatenate(
        [np.pad(one, ((0, 0), (0, widest - one.shape[1]), (0, 0)), constant_values=255) for one in sheets]
    )


def enlarged(pixels: np.ndarray, size: int) -> np.ndarray:
    """Return every pixel as a square. A side of 1 becomes at least 6 high, so that single rows are visible."""
    factor = max(1, round(size / max(pixels.shape[:2])))
    high = max(factor, 6) if pixels.shape[0] == 1 else factor
    return pixels.repeat(high, axis=0).repeat(factor, axis=1)


def _paste(canvas: Any, draw: Any, tile: Tile, cell: tuple[int, int, int, int], size: int, font: Any) -> None:
    from PIL import Image

    x, y, wide, tall = cell
    picture = enlarged(tile.pixels, size)
    rows, columns = picture.shape[:2]
    left, top = x + (wide - columns) // 2, y + (tall - rows) // 2
    draw.rectangle((left - 1, top - 1, left + columns, top + rows), outline=FRAME)
    canvas.paste(Image.fromarray(picture).convert("RGB"), (left, top))
    if tile.label:
        at = (x + wide / 2, y + tall + 3)
        draw.multiline_text(at, tile.label, INK, font=font, anchor="ma", align="center", spacing=2)


def _cell(tile: Tile, size: int) -> tuple[int, int]:
    """Return the columns and rows that a tile takes, including its label's width."""
    rows, columns = enlarged(tile.pixels, size).shape[:2]
    return max(columns + 2, _width(tile.label, load_font(TEXT))), rows + 2


def _lines(text: str) -> int:
    return text.count("\n") + 1 if text else 0


def _width(text: str, font: Any) -> int:
    return max((int(np.ceil(font.getlength(line))) for line in text.split("\n")), default=0)


@functools.lru_cache
def load_font(size: int, name: str = "DejaVuSans.ttf") -> Any:
    """Return a font that matplotlib brings along, so that sheets look the same everywhere."""
    from pathlib import Path

    matplotlib_settings.load()
    import matplotlib
    from PIL import ImageFont

    return ImageFont.truetype(str(Path(matplotlib.get_data_path(), "fonts", "ttf", name)), size)
