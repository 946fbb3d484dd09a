"""A picture of how a distribution moves during training: its percentiles over steps, runs side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import BinaryIO

from dltool.output import matplotlib_settings
from dltool.output.matplotlib_settings import plain_label

COLOUR = "#1f77b4"


def plot_percentiles(
    series: Sequence[tuple[str, Sequence[Mapping[str, float]]]],
    file: BinaryIO,
    ylabel: str = "",
    form: str = "png",
) -> None:
    """Draw a panel a run, all on the same axes, as figure 1 (b, c) of Ioffe & Szegedy, 2015.

    Args:
        series: title and rows of each run; a row has `step` and a column a percentile (`p15`, `p50`, `p85`).
        file: where the picture goes.
        ylabel: what the percentiles are of.
        form: "png" or "svg".
    """
    matplotlib_settings.load()
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(0.8 + 4.2 * len(series), 3.4), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, len(series), sharex=True, sharey=True, squeeze=False)[0]
    for axes, (title, rows) in zip(panels, series, strict=True):
        names = [name for name in (rows[0] if rows else ()) if name != "step"]
        steps = [row["step"] for row in rows]
        middle = (len(names) - 1) / 2
        for index, name in enumerate(names):
            outer = abs(index - middle) / max(middle, 1)  # 0 for the median, 1 for the outermost
            values = [row[name] for row in rows]
            axes.plot(steps, values, color=COLOUR, alpha=1 - 0.4 * outer, linewidth=1.6 - 0.6 * outer)
            axes.annotate(
                f" {plain_label(name.removeprefix('p'))} %",
                (steps[-1], values[-1]),
                color="0.3",
                fontsize="small",
                va="center",
                annotation_clip=False,
            )
        if len(names) > 1:
            low, high = ([row[name] for row in rows] for name in (names[0], names[-1]))
            axes.fill_between(steps, low, high, color=COLOUR, alpha=0.12, linewidth=0)
        axes.set_title(plain_label(title))
        axes.set_xlabel("step")
        axes.xaxis.set_major_locator(MaxNLocator(nbins=5, integer=True))
        axes.grid(color="0.9")
        axes.margins(x=0.02)
    panels[0].set_ylabel(plain_label(ylabel))
    figure.savefig(file, format=form, dpi=110)
