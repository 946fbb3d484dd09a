"""A picture of signals and gradients through the depth of a net."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np

from dltool.output import matplotlib_settings
from dltool.output.matplotlib_settings import plain_label

BINS = 60
HISTOGRAMS = 6  # models whose histograms are drawn; the lines through depth show all
CURVES = 8  # histograms a panel: of deeper nets equally spaced layers


@dataclass
class Profile:
    """A model through its depth, a value a layer.

    Args:
        label: of the model.
        layers: paths.
        signals, gradients: values of the activations, and of the gradients with respect to the pre-activations.
        signal_std, gradient_std: their measured standard deviation; signal_theory, gradient_theory: predicted.
    """

    label: str
    layers: list[str]
    signals: list[np.ndarray]
    gradients: list[np.ndarray]
    signal_std: list[float | None]
    signal_theory: list[float | None]
    gradient_std: list[float | None]
    gradient_theory: list[float | None]


def plot_depth(profiles: Sequence[Profile], file: BinaryIO, title: str, form: str = "png") -> None:
    """Draw normalised histograms a layer, forward and backward, and standard deviations through depth.

    Reference: Glorot & Bengio 2010, fig. 6 and 7; He et al. 2015, fig. 2 and 3.
    """
    matplotlib_settings.load()
    from matplotlib import colormaps
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    drawn = profiles[:HISTOGRAMS]
    lines = len(drawn) + 1
    figure = Figure(figsize=(11, 3.1 * lines + 0.5), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(plain_label(title))
    for row, profile in enumerate(drawn):
        chosen = np.unique(
            np.linspace(0, len(profile.layers) - 1, min(CURVES, len(profile.layers))).round().astype(int)
        )
        colours = colormaps["viridis"](np.linspace(0, 0.9, len(chosen)))
        for column, (name, values) in enumerate((("activations", profile.signals), ("gradients", profile.gradients))):
            axes = figure.add_subplot(lines, 2, 2 * row + column + 1)
            low, high = _range([values[index] for index in chosen])
            for index, colour in zip(chosen, colours, strict=True):
                _histogram(axes, values[index], low, high, colour, plain_label(profile.layers[index]))
            axes.set_title(f"{plain_label(profile.label)}: {name}" if len(profiles) > 1 else name)
            axes.set_xlabel("f(z)" if column == 0 else "dL/dz")
            axes.set_ylabel("share of the values")
            axes.set_yscale("log")
            axes.ticklabel_format(axis="x", style="sci", scilimits=(-2, 3))
            axes.grid(color="0.92")
            if column == 0:
                axes.legend(frameon=False, fontsize="x-small", loc="upper right")
    for column, name in enumerate(("signal", "gradient")):
        axes = figure.add_subplot(lines, 2, 2 * len(drawn) + column + 1)
        for index, profile in enumerate(profiles):
            colour = f"C{index % 10}"
            _line(axes, getattr(profile, f"{name}_std"), colour, "o-", plain_label(profile.label))
            _line(axes, getattr(profile, f"{name}_theory"), colour, "x:", None)
        for style, label in (("o-", "measured"), ("x:", "predicted")):
            axes.plot([], [], style, color="0.4", markersize=4, label=label)
        axes.set_title(f"standard deviation of {'activations' if name == 'signal' else 'gradients dL/dz'}")
        axes.set_xlabel("layer, from input to output")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_yscale("log")
        axes.grid(color="0.92", which="major")
        axes.legend(frameon=False, fontsize="small")
    figure.savefig(file, format=form, dpi=110)


def _range(values: Sequence[np.ndarray]) -> tuple[float, float]:
    """Wide enough for the 99.8 % in the middle of every layer's values."""
    ends = [np.quantile(one, (0.001, 0.999)) for one in values if one.size]
    if not ends:
        return -1.0, 1.0
    low, high = min(float(one[0]) for one in ends), max(float(one[1]) for one in ends)
    return (low, high) if high > low else (low - 1, high + 1)


def _histogram(axes: object, values: np.ndarray, low: float, high: float, colour: object, label: str) -> None:
    if not values.size:
        return
    counts, edges = np.histogram(values, BINS, (low, high))
    shares = np.where(counts > 0, counts / values.size, np.nan)
    axes.plot((edges[:-1] + edges[1:]) / 2, shares, color=colour, label=label, linewidth=1.2)  # type: ignore[attr-defined]


def _line(axes: object, values: Sequence[float | None], colour: str, style: str, label: str | None) -> None:
    points = [(index + 1, value) for index, value in enumerate(values) if value]
    if points:
        axes.plot(*zip(*points, strict=True), style, color=colour, markersize=4, label=label)  # type: ignore[attr-defined]
