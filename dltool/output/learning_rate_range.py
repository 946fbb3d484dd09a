"""A picture of a range test: the loss over the learning rate, and what the rules suggest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import BinaryIO

import numpy as np

from dltool.output import matplotlib_settings
from dltool.output.matplotlib_settings import plain_label

RAW, SMOOTHED, VALIDATION = "#9ecae1", "#1f77b4", "#d95f02"
RULE_STYLES = ("-", "--", "-.", ":")  # told apart without colour too
ROOM = 1.3  # of the losses' range above the loss at the start; a diverging loss leaves the picture


def plot_range(
    curves: Sequence[Mapping[str, Sequence[float]]],
    suggestions: Mapping[str, float | None],
    file: BinaryIO,
    title: str,
    *,
    form: str = "png",
    logarithmic: bool = True,
) -> None:
    """Draw loss, smoothed loss and suggestions over the learning rate.

    Args:
        curves: one a seed: learning_rate, loss, smoothed, perhaps validation_loss, each of one length.
        suggestions: rule -> rate, None where it has none.
        file: where the picture goes.
        title: the recipe's name.
        form: "png" or "svg".
        logarithmic: the axis of rates.
    """
    matplotlib_settings.load()
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.5, 4.6), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    strength = 1.0 if len(curves) == 1 else 0.5
    for number, curve in enumerate(curves):
        rates = curve["learning_rate"]
        for column, colour, width, label in (
            ("loss", RAW, 0.8, "loss of a batch"),
            ("validation_loss", VALIDATION, 1.2, "validation loss"),
            ("smoothed", SMOOTHED, 1.8, "smoothed"),
        ):
            if column in curve:
                named = label if number == 0 else None
                axes.plot(rates, curve[column], color=colour, linewidth=width, alpha=strength, label=named)
    marked = ((rule, rate) for rule, rate in suggestions.items() if rate is not None)
    for style, (rule, rate) in zip(RULE_STYLES, marked, strict=False):
        axes.axvline(rate, color="0.25", linewidth=1.1, linestyle=style, label=f"{rule}: {rate:.3g}")
    start = max(float(curve["smoothed"][0]) for curve in curves)
    low = min(float(np.min(curve["loss"])) for curve in curves)
    room = max(ROOM * (start - low), 1e-3 * abs(start), 1e-6)
    axes.set_ylim(low - 0.1 * room, low + room)
    if logarithmic:
        axes.set_xscale("log")
    axes.set_xlabel("learning rate")
    axes.set_ylabel("loss")
    axes.set_title(plain_label(title))
    axes.grid(color="0.9")
    axes.legend(frameon=False)
    with matplotlib.rc_context({"svg.hashsalt": "dltool"}):  # the same picture is the same bytes
        figure.savefig(file, format=form, dpi=110, metadata={"Date": None} if form == "svg" else None)
