"""YOLO's loss against a slow twin in NumPy, and what must not change it."""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from dltool.library.layers.yolo_head import YoloHead
from dltool.library.losses.yolo_loss import YoloLoss
from tests.overlaps import iou_of

ANCHORS = [[12.0, 10.0], [16.0, 22.0], [40.0, 30.0]]
ROWS, COLUMNS, STRIDE, CLASSES = 4, 6, 16, 3


@pytest.fixture(scope="module")
def head() -> YoloHead:
    head = YoloHead(ANCHORS, CLASSES, STRIDE)
    head.build((None, ROWS, COLUMNS, 24))
    head.kernel.assign(np.eye(24)[None, None])  # inputs are the raw outputs
    return head


def outputs(head: YoloHead, images: int, seed: int) -> np.ndarray:
    x = np.random.default_rng(seed).normal(size=(images, ROWS, COLUMNS, 24)).astype(np.float32)
    return np.asarray(head(x))


def truth(rows: list[list[float]], most: int = 9) -> np.ndarray:
    found = np.zeros((most, 6), np.float32)
    found[:, 4] = -1
    found[: len(rows)] = np.reshape(rows, (-1, 6))
    return found


def random_truth(images: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(images):
        rows = []
        for _ in range(rng.integers(0, 9)):
            centre, size = rng.uniform(1, [95, 63]), rng.uniform(4, 44, 2)
            low, high = np.maximum(centre - size / 2, 0), np.minimum(centre + size / 2, [96, 64])
            rows.append([*low, *high, rng.integers(CLASSES), rng.random() < 0.25])
        found.append(truth(rows))
    return np.stack(found)


def sigmoid(t: float) -> float:
    return 1 / (1 + math.exp(-t))


def ciou_of(one: Any, other: Any) -> float:
    overlap = iou_of(one, other)
    c = (max(one[2], other[2]) - min(one[0], other[0])) ** 2 + (max(one[3], other[3]) - min(one[1], other[1])) ** 2
    d = ((one[0] + one[2] - other[0] - other[2]) / 2) ** 2 + ((one[1] + one[3] - other[1] - other[3]) / 2) ** 2
    v = (
        4
        / math.pi**2
        * (math.atan((other[2] - other[0]) / (other[3] - other[1])) - math.atan((one[2] - one[0]) / (one[3] - one[1])))
        ** 2
    )
    return overlap - d / c - v * v / (1 - overlap + v)


def loss_of(image: np.ndarray, boxes: np.ndarray) -> float:
    """Return the loss of one image, candidate by candidate."""
    there = [box.astype(float) for box in boxes if box[4] >= 0]
    claims: dict[int, list[tuple[float, int]]] = {}
    for number, box in enumerate(there):
        cell_x, cell_y = (math.floor((box[k] + box[k + 2]) / 2 / STRIDE) for k in (0, 1))
        first = (cell_y * COLUMNS + cell_x) * len(ANCHORS)
        size = (0, 0, box[2] - box[0], box[3] - box[1])
        fits = [iou_of(size, (0, 0, *anchor)) for anchor in ANCHORS]
        for anchor, fit in enumerate(fits):
            if fit > 0.6 or anchor == int(np.argmax(fits)):
                claims.setdefault(first + anchor, []).append((fit, -number))
    total, positives = 0.0, 0
    for index, row in enumerate(image.astype(float)):
        p = sigmoid(row[8])
        if index in claims:
            box = there[-max(claims[index])[1]]
            if box[5]:
                continue
            positives += 1
            target = iou_of(row[:4], box)
            logits = row[9:] - np.logaddexp.reduce(row[9:])
            total += 2 * (1 - ciou_of(row[:4], box)) - logits[int(box[4])]
            total -= target * math.log(p) + (1 - target) * math.log(1 - p)
            continue
        if any(not box[5] and iou_of(row[:4], box) > 0.7 for box in there):
            continue
        area = (row[2] - row[0]) * (row[3] - row[1])
        shares = [
            max(0, min(row[2], box[2]) - max(row[0], box[0])) * max(0, min(row[3], box[3]) - max(row[1], box[1])) / area
            for box in there
            if box[5]
        ]
        if not any(share > 0.5 for share in shares):
            total -= math.log(1 - p)
    return total / max(positives, 1)


def test_it_equals_a_slow_twin_image_by_image(head: YoloHead) -> None:
    found, boxes = outputs(head, 12, seed=1), random_truth(12, seed=2)
    assert (boxes[..., 5] > 0).any() and ((boxes[..., 4] < 0).all(axis=1)).any()  # ignored ones, an empty image
    expected = [loss_of(*one) for one in zip(found, boxes, strict=True)]
    np.testing.assert_allclose(YoloLoss(reduction=None)(boxes, found), expected, rtol=1e-4)
    assert float(YoloLoss()(boxes, found)) == pytest.approx(np.mean(expected), rel=1e-4)


def test_order_of_boxes_and_padding_change_nothing(head: YoloHead) -> None:
    found, boxes = outputs(head, 6, seed=3), random_truth(6, seed=4)
    padded = np.concatenate([boxes[:, ::-1], np.tile(truth([], 5), (6, 1, 1))], axis=1)
    np.testing.assert_allclose(
        YoloLoss(reduction=None)(padded, found), YoloLoss(reduction=None)(boxes, found), rtol=1e-6
    )


def test_ignored_boxes_leave_no_trace(head: YoloHead) -> None:
    found = tf.Variable(outputs(head, 1, seed=5))
    ignored = truth([[40, 20, 70, 50, 1, 1]])[None]
    with tf.GradientTape() as tape:
        loss = YoloLoss()(ignored, found)
    gradient = tape.gradient(loss, found).numpy()[0]
    np.testing.assert_array_equal(np.delete(gradient, 8, axis=1), 0)  # neither boxes nor classes learn
    inside = [iou_of(box, (40, 20, 70, 50)) > 0.5 for box in found[0, :, :4].numpy()]
    assert not gradient[inside, 8].any()
    assert (gradient[:, 8] > 0).sum() > 40  # background elsewhere


def test_gradients_are_finite_for_extreme_outputs_and_no_boxes(head: YoloHead) -> None:
    x = np.random.default_rng(6).normal(size=(2, ROWS, COLUMNS, 24)) * 1e3
    maps = tf.Variable(x.astype(np.float32))
    boxes = np.stack([truth([[0, 0, 96, 64, 0, 0], [10, 10, 10.01, 10.01, 2, 0]]), truth([])])
    with tf.GradientTape() as tape:
        loss = YoloLoss()(boxes, head(maps))
    assert np.isfinite(loss) and np.isfinite(tape.gradient(loss, maps)).all()


def test_a_net_that_can_hold_them_learns_the_boxes(head: YoloHead) -> None:
    maps = tf.Variable(tf.zeros((1, ROWS, COLUMNS, 24)))
    boxes = truth([[3, 4, 17, 13, 0, 0], [40, 20, 70, 50, 1, 0], [70, 30, 88, 54, 2, 0]])[None]
    optimizer, loss = keras.optimizers.Adam(0.1), YoloLoss()

    @tf.function
    def step() -> Any:
        with tf.GradientTape() as tape:
            value = loss(boxes, head(maps))
        optimizer.apply_gradients([(tape.gradient(value, maps), maps)])
        return value

    for _ in range(150):
        step()
    found, scores = head.detections(head(maps))
    for box in boxes[0, :3]:
        mine = scores[0, :, int(box[4])].numpy()
        assert mine.max() > 0.8 and iou_of(found[0, int(mine.argmax())].numpy(), box) > 0.9


@pytest.mark.parametrize("argument", ["box", "objectness", "classification", "match_threshold", "ignore_threshold"])
@pytest.mark.parametrize("value", [-1, float("nan"), "x", True])
def test_it_refuses(argument: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"The '{argument}' parameter of YoloLoss must be .* Got "):
        YoloLoss(**{argument: value})


def test_its_configuration_makes_the_same_loss() -> None:
    loss = YoloLoss(box=3, match_threshold=0.5)
    assert YoloLoss.from_config(loss.get_config()).get_config() == loss.get_config()
