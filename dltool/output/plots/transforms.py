"""Images with the outline that a spatial transformer looks at, above what it makes of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np

from dltool.output.matplotlib_settings import plain_label
from dltool.output.plots import _canvas

MARGINS = 0.2, 0.5  # at least and at most, of the image's longer side, for outlines that leave it


@dataclass(frozen=True)
class Looks:
    """One run's examples.

    Args:
        title: the run and its layer.
        images: (examples, rows, columns, channels).
        outlines: (row, column) in pixels along the border of what is read, (examples, points, 2), closed.
        seen: (examples, rows', columns', channels).
        captions: a line above each example.
    """

    title: str
    images: np.ndarray
    outlines: np.ndarray
    seen: np.ndarray
    captions: Sequence[str]


def plot_transforms(runs: Sequence[Looks], file: BinaryIO, form: str = "png") -> None:
    """Draw two rows for each run, a column an example: the image with its outline, and what it becomes."""
    from matplotlib.patches import Rectangle

    columns = max(len(run.images) for run in runs)
    figure, axes = _canvas.panels(2 * len(runs), columns, (1.5, 1.65))
    for panel in axes.flat:
        panel.set_axis_off()
    for number, run in enumerate(runs):
        above, below = axes[2 * number], axes[2 * number + 1]
        margin = _margin(run)
        for image, outline, seen, caption, first, second in zip(
            run.images, run.outlines, run.seen, run.captions, above, below, strict=False
        ):
            rows, width = image.shape[:2]
            _show(first, image)
            first.plot(outline[:, 1], outline[:, 0], color=_canvas.colour(4), linewidth=1.4)
            first.plot(*outline[0, ::-1], "o", color=_canvas.colour(4), markersize=4)  # the upper left corner
            first.set(xlim=(-0.5 - margin, width - 0.5 + margin), ylim=(rows - 0.5 + margin, -0.5 - margin))
            first.add_patch(Rectangle((-0.5, -0.5), width, rows, fill=False, edgecolor="0.5", linewidth=0.8))
            first.set_title(f"\n\n{plain_label(caption)}", fontsize="small")
            _show(second, seen)
        name = above[0].text(0, 1.2, plain_label(run.title), transform=above[0].transAxes, fontsize="medium")
        name.set_in_layout(False)  # the captions leave a line for it
    _canvas.save(figure, file, form)


def _margin(run: Looks) -> float:
    """Return the pixels around each image that a run's outlines need, the same for all of them."""
    rows, columns = run.images.shape[1:3]
    beyond = max(-run.outlines.min(), (run.outlines - [rows - 1, columns - 1]).max()) + 1
    least, most = (share * max(rows, columns) for share in MARGINS)
    return float(np.clip(beyond, least, most))


def _show(panel: object, image: np.ndarray) -> None:
    """Draw an image grey, or in colour where it has three channels, from its darkest to its brightest value."""
    low, high = float(image.min()), float(image.max())
    shown = (image - low) / ((high - low) or 1.0)
    grey = shown[..., 0] if shown.shape[-1] != 3 else shown
    panel.imshow(grey, cmap="gray", vmin=0, vmax=1, interpolation="nearest")  # type: ignore[attr-defined]
