"""YOLO's last layer: where its boxes lie, what it refuses, that a saved model gives the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from dltool.graph.multiply_adds import multiply_adds
from dltool.library.layers.yolo_head import YoloHead
from dltool.ops import boxes

ANCHORS = [[8.0, 6.0], [20.0, 30.0]]


def sigmoid(t: float) -> float:
    return float(1 / (1 + np.exp(-t)))


def test_boxes_are_those_of_the_formula_at_each_cell_and_anchor() -> None:
    head = YoloHead(ANCHORS, classes=3, stride=8)
    x = np.random.default_rng(0).normal(size=(2, 4, 5, 6)).astype(np.float32)
    head.build(x.shape)
    head.kernel.assign(np.random.default_rng(1).normal(size=head.kernel.shape))
    found = np.asarray(head(x))
    assert found.shape == (2, 4 * 5 * 2, 9 + 3) == (2, *head.compute_output_shape(x.shape)[1:])
    raw = (x @ np.asarray(head.kernel)[0, 0] + np.asarray(head.bias)).reshape(2, 4, 5, 2, 8)
    number = 0
    for i in range(4):
        for j in range(5):
            for width, height in ANCHORS:
                t = raw[1, i, j, number % 2]
                centre = ((j + sigmoid(t[0])) * 8, (i + sigmoid(t[1])) * 8)
                w, h = (a * np.exp(4 * np.tanh(s / 4)) for a, s in zip((width, height), t[2:4], strict=True))
                box = (centre[0] - w / 2, centre[1] - h / 2, centre[0] + w / 2, centre[1] + h / 2)
                np.testing.assert_allclose(found[1, number, :4], box, rtol=1e-4, atol=1e-3)
                np.testing.assert_allclose(found[1, number, 4:8], ((j + 0.5) * 8, (i + 0.5) * 8, width, height))
                np.testing.assert_allclose(found[1, number, 8:], t[4:], rtol=1e-4, atol=1e-5)
                number += 1
    own, scores = head.detections(found)
    parts = boxes.split(found)
    np.testing.assert_array_equal(own, parts.boxes)
    share = np.exp(found[0, 0, 9:]) / np.exp(found[0, 0, 9:]).sum()
    np.testing.assert_allclose(scores[0, 0], sigmoid(found[0, 0, 8]) * share, rtol=1e-5)
    assert multiply_adds(head, [x.shape], found.shape) == 4 * 5 * 6 * 16


def test_sides_stay_finite_and_objects_are_rare_at_the_beginning() -> None:
    head = YoloHead(ANCHORS, classes=1, stride=8)
    x = np.full((1, 2, 2, 3), 1e6, np.float32)
    head.build(x.shape)
    np.testing.assert_allclose(np.asarray(head(0 * x))[0, :, 8], -np.log(99), rtol=1e-5)  # p = 0.01
    head.kernel.assign(np.ones(head.kernel.shape))
    found = np.asarray(head(x))
    assert np.isfinite(found).all()
    assert (found[0, :, 2] - found[0, :, 0]).max() == pytest.approx(20 * np.exp(4), rel=1e-4)


def test_a_saved_model_gives_the_same_in_half_precision_too(tmp_path: Path) -> None:
    inputs = keras.Input((4, 5, 3))
    policy = keras.DTypePolicy("mixed_float16")
    maps = keras.layers.Conv2D(4, 1, dtype=policy)(inputs)
    head = YoloHead(np.array(ANCHORS), classes=2, stride=16, max_boxes=7, dtype=policy)
    model = keras.Model(inputs, head(maps))
    model.save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras")
    x = np.random.default_rng(0).normal(size=(1, 4, 5, 3)).astype(np.float32)
    np.testing.assert_array_equal(loaded(x), model(x))
    assert model(x).dtype == "float32" and loaded.layers[-1].max_boxes == 7
    assert loaded.layers[-1].get_config()["anchors"] == ANCHORS


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"anchors": []}, "'anchors'"),
        ({"anchors": [[1, 2, 3]]}, "'anchors'"),
        ({"anchors": [[1, 0]]}, "'anchors'"),
        ({"anchors": [[1, float("nan")]]}, "'anchors'"),
        ({"anchors": [[1, 2], [3]]}, "'anchors'"),
        ({"anchors": "big"}, "'anchors'"),
        ({"classes": 0}, "'classes'"),
        ({"classes": True}, "'classes'"),
        ({"stride": 1.5}, "'stride'"),
        ({"max_boxes": 0}, "'max_boxes'"),
        ({"score_threshold": 2}, "'score_threshold'"),
        ({"iou_threshold": "x"}, "'iou_threshold'"),
    ],
)
def test_it_refuses(arguments: dict[str, Any], named: str) -> None:
    with pytest.raises(ValueError, match=f"The {named} parameter of YoloHead must be .* Got "):
        YoloHead(**{"anchors": ANCHORS, "classes": 2, **arguments})


def test_it_refuses_images_of_any_size() -> None:
    with pytest.raises(ValueError, match="image_size"):
        YoloHead(ANCHORS, 2)(keras.Input((None, None, 3)))
