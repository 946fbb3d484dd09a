"""Boxes drawn on a picture, each with its label."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from dltool.output.plots._canvas import COLOURS
from dltool.output.sheet import load_font

LONG = 960  # pixels that the longer side of a picture is enlarged to, so that labels are legible
TEXT, LINE = 13, 2  # size of the font, width of a frame, in pixels


def draw_boxes(
    image: np.ndarray, boxes: np.ndarray, classes: Sequence[int], labels: Sequence[str], longest: int = LONG
) -> np.ndarray:
    """Return a picture with boxes, uint8 (rows, columns, 3), enlarged; a class has a colour.

    Args:
        image: (rows, columns, channels), 0 to 255, of 1, 3 or 4 channels.
        boxes: x_min, y_min, x_max, y_max in pixels of the image, (boxes, 4), the first one on top.
        classes: the number of each box's class.
        labels: a text above each box, inside it where there is no room above.
        longest: pixels of the picture's longer side; larger images stay.
    """
    from PIL import Image, ImageDraw

    shown = np.repeat(image, 3, axis=-1) if image.shape[-1] == 1 else image[..., :3]
    picture = Image.fromarray(np.clip(np.rint(shown), 0, 255).astype(np.uint8))
    scale = max(1.0, longest / max(picture.size))
    picture = picture.resize((round(picture.width * scale), round(picture.height * scale)), Image.Resampling.BICUBIC)
    draw = ImageDraw.Draw(picture)
    font = load_font(TEXT)
    order = [*range(len(boxes))][::-1]
    for number in order:
        x0, y0, x1, y1 = (float(side) * scale for side in boxes[number])
        draw.rectangle((x0, y0, max(x1 - 1, x0), max(y1 - 1, y0)), outline=_colour(classes[number]), width=LINE)
    for number in order:  # above all frames
        if labels[number]:
            _label(draw, labels[number], boxes[number, :2] * scale, _colour(classes[number]), font, picture.size)
    return np.asarray(picture)


def _label(draw: Any, text: str, corner: np.ndarray, colour: str, font: Any, size: tuple[int, int]) -> None:
    from PIL import ImageColor

    wide, high = font.getlength(text) + 4, TEXT + 4
    x = min(max(float(corner[0]), 0), max(size[0] - wide, 0))
    y = float(corner[1]) - high if corner[1] >= high else float(corner[1])
    draw.rectangle((x, y, x + wide, y + high), fill=colour)
    red, green, blue = ImageColor.getrgb(colour)[:3]
    ink = "black" if 0.299 * red + 0.587 * green + 0.114 * blue > 128 else "white"
    draw.text((x + 2, y + high / 2), text, ink, font=font, anchor="lm")


def _colour(number: int) -> str:
    return COLOURS[int(number) % len(COLOURS)]
