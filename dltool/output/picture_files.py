"""The pictures of a folder: PNG and GIF files, the same bytes for the same pixels, and the page that shows them."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from html import escape as escape_html
from typing import TYPE_CHECKING, Any

import numpy as np

from dltool.errors.control_characters import visible

if TYPE_CHECKING:
    import pandas as pd


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


MILLISECONDS = 120  # a frame of a film
LAST = 1500  # its last one


def png(pixels: np.ndarray) -> bytes:
    """Return uint8 (rows, columns[, 3]) as a PNG file."""
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG", optimize=False)
    return file.getvalue()


def can_write_gif() -> bool:
    """Return whether this Pillow can write films."""
    from PIL import Image

    Image.init()
    return "GIF" in Image.SAVE_ALL


def gif(frames: Sequence[np.ndarray]) -> bytes:
    """Frames uint8 (rows, columns, 3) as an endless film.

    Raises:
        ValueError: this Pillow has no GIF.
    """

    if not can_write_gif():
        raise ValueError("Pillow was built without GIF. Install another, or leave the film out.")
    first, *rest = _paletted(frames)
    times = [MILLISECONDS] * len(rest) + [LAST]
    file = io.BytesIO()
    first.save(file, "GIF", save_all=True, append_images=rest, duration=times, loop=0, disposal=1, optimize=False)
    return file.getvalue()


def _paletted(frames: Sequence[np.ndarray]) -> list[Any]:
    """Return images of 256 tones. Colour images share one palette for all frames, so that no colour flickers."""
    from PIL import Image

    if all((frame == frame[..., :1]).all() for frame in frames):
        return [Image.fromarray(frame[..., 0]) for frame in frames]
    palette = Image.fromarray(np.concatenate([frame[::2, ::2] for frame in frames])).quantize(256)
    images = [Image.fromarray(frame) for frame in frames]
    return [image.quantize(256, palette=palette, dither=Image.Dither.NONE) for image in images]


STYLE = """
body { font: 14px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 75rem; padding: 0 1rem; color: #222 }
figure { margin: 1.5rem 0; overflow-x: auto }
figcaption { color: #555; margin-bottom: .3rem }
img { max-width: 100%; border: 1px solid #ddd }
table { border-collapse: collapse; margin: 1rem 0; font-variant-numeric: tabular-nums }
th, td { border-bottom: 1px solid #ddd; padding: .15rem .6rem; text-align: right }
th { text-align: right; color: #555 }
details { overflow-x: auto }
"""


def page(title: str, pictures: Sequence[tuple[str, str]], report: Mapping[str, pd.DataFrame]) -> str:
    """Return HTML that needs nothing but the pictures in its folder.

    Args:
        pictures: (file, caption) of each.
        report: title -> table.
    """
    figures = "\n".join(
        f'<figure><figcaption>{escape(caption)}</figcaption><img src="{escape(file)}" alt="{escape(caption)}"></figure>'
        for file, caption in pictures
    )
    tables = "\n".join(
        f"<details><summary>{escape(name)}: {len(frame)} rows</summary>"
        f"{_visible_cells(frame).to_html(index=False, border=0, na_rep='', float_format='{:.4g}'.format)}</details>"
        for name, frame in report.items()
    )
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head><meta charset="utf-8"><title>{escape(title)}</title>'
        f"<style>{STYLE}</style></head>\n<body>\n<h1>{escape(title)}</h1>\n{figures}\n{tables}\n</body>\n</html>\n"
    )


def escape(text: str) -> str:
    """Return text as HTML shows it, control characters visible."""
    return escape_html(visible(text))


def _visible_cells(frame: pd.DataFrame) -> pd.DataFrame:
    shown = frame.map(lambda value: visible(value) if isinstance(value, str) else value)
    return shown.rename(columns=lambda name: visible(str(name)))
