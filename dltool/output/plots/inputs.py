"""Rows of images: as stored, and behind layers for preprocessing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import BinaryIO

import numpy as np

from dltool.output.matplotlib_settings import plain_label
from dltool.output.plots import _canvas

LABEL = 0.25  # inches above the first row
SPREAD = 3.0  # standard deviations about the mean that the shades span, where values have both signs


def plot_rows(rows: Sequence[tuple[str, np.ndarray]], file: BinaryIO, form: str = "png") -> None:
    """Draw each row's images on one scale.

    Args:
        rows: title and images (n, rows, columns, 1 or 3). Values of both signs are shown about a middle grey, three
            standard deviations to black and to white; others from the least to the largest.
    """
    count = len(rows[0][1])
    figure, axes = _canvas.panels(len(rows), count, (1.15, 1.3))
    for panels, (title, images) in zip(axes, rows, strict=True):
        shades = _shades(images)
        for panel, image in zip(panels, shades, strict=True):
            panel.imshow(image, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
            panel.axis("off")
        label = panels[0].text(0, 1.05, plain_label(title), fontsize="medium", transform=panels[0].transAxes)
        label.set_in_layout(False)  # longer than the first image is wide
    above = LABEL / figure.get_size_inches()[1]
    figure.get_layout_engine().set(hspace=0.2, rect=(0, 0, 1, 1 - above))
    _canvas.save(figure, file, form)


def _shades(images: np.ndarray) -> np.ndarray:
    """Return values in [0, 1], one channel left out."""
    low, high = images.min(), images.max()
    if low < 0 < high:
        high = SPREAD * (images.std() or 1.0)
        low = -high
    shades = np.clip((images - low) / ((high - low) or 1.0), 0, 1)
    return shades[..., 0] if shades.shape[-1] == 1 else shades
