"""A model's graph as a picture: a box a layer, from top to bottom."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, BinaryIO

from dltool.output import matplotlib_settings
from dltool.output.matplotlib_settings import plain_label

ROW = 0.5  # inches from layer to layer
COLUMN = 3.4  # inches from path to path
MARGIN = 0.4
LINE = 50  # characters of the ordinary size that surely fit into a box; longer lines are drawn smaller
LARGEST = 65_000  # pixels a side; matplotlib draws less than 65,536
COLORS = (("Conv", "#cfe2f3"), ("Dense", "#fce5cd"), ("Pooling", "#d9ead3"), ("Normalization", "#eeeeee"),
          ("LSTM", "#ead1dc"), ("GRU", "#ead1dc"), ("RNN", "#ead1dc"), ("Embedding", "#fff2cc"))  # fmt: skip


def plot_graph(rows: Sequence[Mapping[str, Any]], input_shape: str, file: BinaryIO, form: str, title: str) -> None:
    """Draw the layers.

    Args:
        rows: of `diagnostics.summary`: number, layer, type, inputs, output_shape, parameters.
        input_shape: in words.
        form: "png" or "svg".
    """
    matplotlib_settings.load()
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot
    from matplotlib.patches import FancyBboxPatch

    parents = {row["number"]: [int(source) for source in row["inputs"].split()] for row in rows}
    depth, column = _places(parents)
    wide, deep = max(column.values()) + 1, max(depth.values()) + 1
    figure = pyplot.figure(figsize=(wide * COLUMN + 2 * MARGIN, deep * ROW + 2 * MARGIN + 0.4))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_xlim(-MARGIN, wide * COLUMN + MARGIN)
    axes.set_ylim(-(deep * ROW + MARGIN), MARGIN + 0.4)
    axes.axis("off")
    axes.text(0, MARGIN + 0.1, plain_label(title), fontsize=11, fontweight="bold", va="center")
    for number, sources in parents.items():
        for source in sources:
            _connect(axes, column[source], depth[source], column[number], depth[number])
    texts = {0: ("input", input_shape or "one value", "#ffffff")}
    for row in rows:
        color = next((color for word, color in COLORS if word in row["type"]), "#ffffff")
        parameters = f", {row['parameters']:,} parameters" if row["parameters"] else ""
        texts[row["number"]] = (*_lines(row["layer"], row["type"], f"{row['output_shape']}{parameters}"), color)
    for number, (first, second, color) in texts.items():
        left, top = column[number] * COLUMN, -depth[number] * ROW
        box = FancyBboxPatch((left, top - 0.36), COLUMN - 0.3, 0.36, boxstyle="round,pad=0,rounding_size=0.05",
                             facecolor=color, edgecolor="#666666", linewidth=0.8)  # fmt: skip
        axes.add_patch(box)
        for text, height in ((first, 0.12), (second, 0.26)):
            axes.text(
                left + 0.06,
                top - height,
                plain_label(text),
                fontsize=6.5 * min(1, LINE / max(len(text), 1)),
                va="center",
            )
    figure.savefig(file, format=form, dpi=min(110, LARGEST / max(figure.get_size_inches())))
    pyplot.close(figure)


def _places(parents: Mapping[int, Sequence[int]]) -> tuple[dict[int, int], dict[int, int]]:
    """Return the row and column of every box. A box is below all it needs; parallel paths have a column each."""
    depth, column = {0: 0}, {0: 0}
    taken = {(0, 0)}
    for number, sources in parents.items():
        depth[number] = 1 + max((depth[source] for source in sources), default=0)
        wanted = min((column[source] for source in sources), default=0)
        while (depth[number], wanted) in taken:
            wanted += 1
        column[number] = wanted
        taken.add((depth[number], wanted))
    return depth, column


def _connect(axes: Any, column: int, depth: int, to_column: int, to_depth: int) -> None:
    """Draw an arrow from box to box, around other boxes of its column on the right."""
    width = COLUMN - 0.3
    start = (column * COLUMN + width / 2, -depth * ROW - 0.36)
    end = (to_column * COLUMN + width / 2, -to_depth * ROW)
    if to_depth == depth + 1:
        axes.annotate("", end, start, arrowprops={"arrowstyle": "-|>", "color": "#444444", "linewidth": 0.8})
        return
    side = max(column, to_column) * COLUMN + width + 0.12
    xs = [start[0] + width / 2, side, side, to_column * COLUMN + width]
    ys = [start[1] + 0.18, start[1] + 0.18, end[1] - 0.18, end[1] - 0.18]
    axes.plot(xs[:3], ys[:3], color="#888888", linewidth=0.8)
    arrow = {"arrowstyle": "-|>", "color": "#888888", "linewidth": 0.8}
    axes.annotate("", (xs[3], ys[3]), (xs[2], ys[2]), arrowprops=arrow)


def _lines(layer: str, kind: str, rest: str) -> tuple[str, str]:
    """Return a box's two lines; a type too long for the first moves to the second."""
    first = f"{layer}: {kind}"
    return (first, rest) if len(first) <= LINE else (layer, f"{kind}: {rest}")
