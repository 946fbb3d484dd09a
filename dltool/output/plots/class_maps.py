"""A picture with the probability of each of its likeliest classes laid over it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import BinaryIO

import numpy as np

from dltool.output.matplotlib_settings import plain_label
from dltool.output.plots import _canvas

CLASSES = 5  # that are drawn, those with the highest probability anywhere
SIDE = 2.6  # inches of a panel's longer side


def plot_class_map(
    picture: np.ndarray,
    scores: np.ndarray,
    names: Sequence[str],
    middle: Callable[[int, float], float],
    file: BinaryIO,
) -> None:
    """Draw a picture, and behind it a panel for each of its likeliest classes, as PNG.

    Args:
        picture: (rows, columns, channels).
        scores: float (positions down, positions across, classes).
        names: of the classes.
        middle: of axis and position, the middle of a position's crop in pixels.
    """
    best = scores.max(axis=(0, 1))
    order = np.argsort(-best, kind="stable")[:CLASSES]
    rows, columns = picture.shape[:2]
    scale = SIDE / max(rows, columns)
    size = (max(scale * columns, 1.2), max(scale * rows, 1.2) + 0.3)
    figure, axes = _canvas.panels(1, 1 + len(order), size)
    low, high = float(picture.min()), float(picture.max())
    shown = (picture - low) / ((high - low) or 1.0)
    grey = shown[..., :3].mean(axis=-1)
    down, across = scores.shape[:2]
    left, right = (middle(1, position) for position in (-0.5, across - 0.5))
    top, bottom = (middle(0, position) for position in (-0.5, down - 0.5))
    for panel in axes.flat:
        panel.set_axis_off()
    axes[0, 0].imshow(shown[..., :3] if shown.shape[-1] >= 3 else grey, cmap="gray", vmin=0, vmax=1)
    axes[0, 0].set_title("picture", fontsize="small")
    for panel, index in zip(axes[0, 1:], order, strict=True):
        panel.imshow(grey, cmap="gray", vmin=0, vmax=1)
        heat = panel.imshow(
            scores[..., index], cmap="viridis", vmin=0, vmax=1, alpha=0.65, extent=(left, right, bottom, top),
            interpolation="nearest",
        )  # fmt: skip
        panel.set(xlim=(-0.5, columns - 0.5), ylim=(rows - 0.5, -0.5))
        panel.set_title(f"{plain_label(names[index])}: at most {best[index]:.2f}", fontsize="small")
    figure.colorbar(heat, ax=axes[0, -1], shrink=0.8)
    _canvas.save(figure, file, "png")
