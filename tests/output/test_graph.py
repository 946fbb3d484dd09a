"""The picture of a model's graph: every label whole and inside its box, and no picture too tall to be drawn."""

from __future__ import annotations

import io
from typing import Any

import pytest
from matplotlib import pyplot
from PIL import Image

from dltool.output import graph


def row(number: int, layer: str, kind: str, inputs: str, shape: str = "56 x 56 x 64") -> dict[str, Any]:
    return {"number": number, "layer": layer, "type": kind, "inputs": inputs, "output_shape": shape, "parameters": 9}


ROWS = [
    row(1, "local_response_normalization", "LocalResponseNormalization", "0"),
    row(2, "encoder/first_block/multi_head_attention_11/and_what_is_inside", "GroupedQueryAttention", "1"),
    row(3, "dense", "Dense", "1", shape=""),
    row(4, "add", "Add", "2 3"),
]


def test_every_label_is_whole_and_inside_its_box(monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[Any] = []
    monkeypatch.setattr(pyplot, "close", kept.append)
    graph.plot_graph(ROWS, "224 x 224 x 3", io.BytesIO(), "png", "net")
    monkeypatch.undo()
    (figure,) = kept
    (axes,) = figure.axes
    boxes = [patch.get_window_extent() for patch in axes.patches]
    labels = [text for text in axes.texts if text.get_text() not in ("", "net")]
    shown = " ".join(label.get_text() for label in labels)
    assert all(one["layer"] in shown and one["type"] in shown for one in ROWS)
    for label in labels:
        at = label.get_window_extent()
        inside = [box.x0 <= at.x0 and at.x1 <= box.x1 and box.y0 <= at.y0 and at.y1 <= box.y1 for box in boxes]
        assert sum(inside) == 1, label.get_text()
    pyplot.close(figure)


def test_a_picture_that_would_be_too_tall_is_drawn_smaller(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graph, "LARGEST", 400)
    file = io.BytesIO()
    graph.plot_graph([row(n, f"dense_{n}", "Dense", str(n - 1)) for n in range(1, 13)], "8", file, "png", "deep")
    assert max(Image.open(file).size) <= 400
