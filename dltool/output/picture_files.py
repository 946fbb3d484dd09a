"""Pictures as PNG and films as GIF, the same bytes for the same pixels."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import numpy as np

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
