"""Boxes: overlaps against NumPy and Keras, what suppression leaves."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from dltool.ops import boxes
from tests.overlaps import iou_of, random_boxes


def test_overlaps_equal_those_of_numpy_box_by_box() -> None:
    one, other = random_boxes(7, seed=1), random_boxes(5, seed=2)
    other[0] = one[0]  # the same box
    other[1, 2:] = other[1, :2]  # without area
    expected = [[iou_of(a, b) for b in other] for a in one]
    np.testing.assert_allclose(boxes.iou(one, other), expected, rtol=1e-5, atol=1e-6)
    assert float(boxes.iou(one, other)[0, 0]) == pytest.approx(1)
    common = boxes.covered(one, other).numpy() * np.prod(one[:, 2:] - one[:, :2], axis=1)[:, None]
    np.testing.assert_allclose(common, boxes.intersections(one, other), rtol=1e-5, atol=1e-4)


def test_ciou_is_that_of_keras_with_finite_gradients_where_boxes_are_flat_or_far_apart() -> None:
    one, other = random_boxes(20, seed=3), random_boxes(20, seed=4)
    expected = keras.utils.bounding_boxes.compute_ciou(tf.constant(one), tf.constant(other), "xyxy")
    np.testing.assert_allclose(boxes.ciou(one, other), expected, rtol=1e-4, atol=1e-5)
    flat = tf.Variable([[0.0, 0, 0, 0], [1e4, 1e4, 1e4, 2e4], [3, 3, 3, 3], [5, 5, 9, 9]])
    with tf.GradientTape() as tape:
        value = boxes.ciou(flat, tf.constant([[5.0, 5, 9, 9], [0, 0, 1, 1], [3, 3, 3, 3], [5, 5, 9, 9]]))
    assert np.isfinite(value).all() and np.isfinite(tape.gradient(value, flat)).all()
    assert float(value[3]) == pytest.approx(1)


def test_suppression_keeps_the_more_certain_of_two_boxes_of_a_class_and_both_of_two_classes() -> None:
    found = tf.constant([[[0.0, 0, 10, 10], [1, 0, 11, 10], [50, 50, 60, 60], [0, 0, 10, 10]]])
    scores = np.zeros((1, 4, 2), np.float32)
    scores[0, :, 0] = [0.8, 0.9, 0.3, 0]  # the first and the second overlap by 9 / 11
    scores[0, 3, 1] = 0.7
    left = boxes.suppress(found, scores, least_score=0.4, most_overlap=0.5, most_boxes=10)
    assert left.count[0] == 2 and left.boxes.shape == (1, 10, 4)
    np.testing.assert_allclose(left.scores[0, :2], [0.9, 0.7])
    np.testing.assert_array_equal(left.classes[0, :2], [0, 1])
    np.testing.assert_array_equal(left.boxes[0, :2], [[1, 0, 11, 10], [0, 0, 10, 10]])
    assert boxes.suppress(found, scores, 0.4, 0.9, 10).count[0] == 3  # overlaps of up to 0.9 stay
