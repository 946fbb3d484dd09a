"""A picture of schedules: learning rate, momentum and weight decay over training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import BinaryIO

from dltool.output import matplotlib_settings
from dltool.output.matplotlib_settings import plain_label
from dltool.output.terminal_plot import Curve, sources

COLOURS = ("#1f77b4", "#d95f02", "#1b9e77", "#7570b3", "#e7298a", "#66a61e", "#a6761d", "#666666")
STYLES = ("-", "--", "-.", ":")


def plot_schedules(
    panels: Mapping[str, Sequence[Curve]],
    file: BinaryIO,
    form: str,
    axis: str,
    *,
    log: bool = False,
    dots: Mapping[str, Sequence[Curve]] | None = None,
) -> None:
    """Draw one panel per quantity, as PNG or SVG.

    Args:
        panels: quantity -> its curves; those of one `source` have one colour and one style in all panels.
        file: where the picture goes.
        form: "png" or "svg".
        axis: what x counts.
        log: a logarithmic vertical axis.
        dots: quantity -> points near the curves, such as the rates that a run has logged.
    """
    matplotlib_settings.load()
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.0, 3.4 * len(panels) + 0.2), layout="constrained")
    FigureCanvasAgg(figure)
    for index, (quantity, curves) in enumerate(panels.items()):
        axes = figure.add_subplot(len(panels), 1, index + 1)
        for number, curve in zip(sources(curves), curves, strict=True):
            colour, style = COLOURS[number % len(COLOURS)], STYLES[number % len(STYLES)]
            axes.plot(curve.x, curve.y, color=colour, linestyle=style, label=plain_label(curve.label), linewidth=1.6)
        for points in (dots or {}).get(quantity, ()):
            axes.plot(
                points.x,
                points.y,
                "o",
                color="black",
                markersize=3.5,
                label=plain_label(points.label),
                fillstyle="none",
            )
        if log:
            axes.set_yscale("log")
        axes.set_ylabel(plain_label(quantity.replace("_", " ")))
        axes.set_xlabel(axis)
        axes.grid(color="0.9")
        axes.legend(frameon=False, fontsize="small", loc="lower left", bbox_to_anchor=(0, 1))  # labels are long
    with matplotlib.rc_context({"svg.hashsalt": "dltool"}):  # the same picture is the same bytes
        figure.savefig(file, format=form, dpi=110, metadata={"Date": None} if form == "svg" else None)
