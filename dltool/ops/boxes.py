"""Boxes in images: their overlap, what a detector says of each candidate, and the suppression of overlaps."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import tensorflow as tf

EPSILON = 1e-7  # of areas and squared lengths in pixels: boxes without area overlap nothing
NOTHING = -1  # the class of a row of padding


class Candidates(NamedTuple):
    """The output of a detector, (batch, candidates, 9 + classes), in its parts.

    Args:
        boxes: x_min, y_min, x_max, y_max in pixels, (batch, candidates, 4).
        priors: what a box was predicted from: centre x, centre y, width, height in pixels, (batch, candidates, 4).
        objectness: logits of "here is an object", (batch, candidates).
        classes: logits of the classes, (batch, candidates, classes).
    """

    boxes: Any
    priors: Any
    objectness: Any
    classes: Any

    @property
    def scores(self) -> Any:
        """Return P(object) P(class | object), in [0, 1], (batch, candidates, classes)."""
        return tf.sigmoid(self.objectness)[..., tf.newaxis] * tf.nn.softmax(self.classes, axis=-1)


class Detections(NamedTuple):
    """What is left of boxes after suppression, the most certain ones first.

    Args:
        boxes: (batch, most, 4) in pixels; zeros beyond those that are left.
        scores: (batch, most).
        classes: int (batch, most).
        count: how many are left, int (batch,).
    """

    boxes: Any
    scores: Any
    classes: Any
    count: Any


def split(outputs: Any) -> Candidates:
    """Return the parts of a detector's output (batch, candidates, 9 + classes), in float32 at least."""
    outputs = tf.convert_to_tensor(outputs)
    outputs = outputs if outputs.dtype == tf.float64 else tf.cast(outputs, tf.float32)
    return Candidates(outputs[..., :4], outputs[..., 4:8], outputs[..., 8], outputs[..., 9:])


def intersections(one: Any, other: Any) -> Any:
    """Return the common area of each box (..., n, 4) and each other box (..., m, 4), (..., n, m), in pixels^2."""
    one, other = one[..., :, tf.newaxis, :], other[..., tf.newaxis, :, :]
    sides = tf.minimum(one[..., 2:4], other[..., 2:4]) - tf.maximum(one[..., 0:2], other[..., 0:2])
    return tf.reduce_prod(tf.maximum(sides, 0.0), axis=-1)


def areas(boxes: Any) -> Any:
    """Return the areas of boxes (..., 4), in pixels^2; 0 of boxes turned inside out."""
    return tf.reduce_prod(tf.maximum(boxes[..., 2:4] - boxes[..., 0:2], 0.0), axis=-1)


def iou(one: Any, other: Any) -> Any:
    """Return intersection / union of each box (..., n, 4) and each other box (..., m, 4), (..., n, m)."""
    common = intersections(one, other)
    union = areas(one)[..., :, tf.newaxis] + areas(other)[..., tf.newaxis, :] - common
    return common / tf.maximum(union, EPSILON)


def covered(one: Any, other: Any) -> Any:
    """Return the share of each box (..., n, 4) that each other box (..., m, 4) covers, (..., n, m)."""
    return intersections(one, other) / tf.maximum(areas(one)[..., :, tf.newaxis], EPSILON)


def ciou(one: Any, other: Any) -> Any:
    """Return the complete IoU of boxes (..., 4) in pairs, (...), in (-2, 1].

        CIoU = IoU - d^2 / c^2 - a v,   v = 4 / pi^2 (atan(w'/h') - atan(w/h))^2,   a = v / (1 - IoU + v)

    d is the distance of the centres, c the diagonal of the smallest box around both. As the paper has it, no gradient
    flows through a.

    Reference: Zheng et al., 2020, Distance-IoU loss, arXiv:1911.08287, equations 10 to 12.
    """
    sizes = [tf.maximum(box[..., 2:4] - box[..., 0:2], EPSILON) for box in (one, other)]
    sides = tf.minimum(one[..., 2:4], other[..., 2:4]) - tf.maximum(one[..., 0:2], other[..., 0:2])
    common = tf.reduce_prod(tf.maximum(sides, 0.0), axis=-1)
    union = tf.reduce_prod(sizes[0], axis=-1) + tf.reduce_prod(sizes[1], axis=-1) - common
    overlap = common / tf.maximum(union, EPSILON)
    around = tf.maximum(one[..., 2:4], other[..., 2:4]) - tf.minimum(one[..., 0:2], other[..., 0:2])
    apart = (one[..., 0:2] + one[..., 2:4] - other[..., 0:2] - other[..., 2:4]) / 2
    distance = tf.reduce_sum(apart**2, axis=-1) / (tf.reduce_sum(around**2, axis=-1) + EPSILON)
    angles = [tf.atan2(size[..., 0], size[..., 1]) for size in sizes]
    shape = 4 / math.pi**2 * (angles[1] - angles[0]) ** 2
    share = tf.stop_gradient(shape / tf.maximum(1 - overlap + shape, EPSILON))
    return overlap - distance - share * shape


def suppress(boxes: Any, scores: Any, least_score: float, most_overlap: float, most_boxes: int) -> Detections:
    """Return the boxes that are left where of two of one class that overlap the more certain one stays.

    Args:
        boxes: (batch, n, 4), or (batch, n, classes, 4) where each class has its own, in pixels.
        scores: (batch, n, classes).
        least_score: less certain boxes are left out.
        most_overlap: the IoU from which on a box is suppressed.
        most_boxes: of an image.
    """
    boxes, scores = tf.cast(boxes, tf.float32), tf.cast(scores, tf.float32)
    boxes = boxes[:, :, tf.newaxis] if len(boxes.shape) == 3 else boxes
    found = tf.image.combined_non_max_suppression(
        boxes,
        scores,
        max_output_size_per_class=most_boxes,
        max_total_size=most_boxes,
        iou_threshold=most_overlap,
        score_threshold=least_score,
        clip_boxes=False,
    )
    return Detections(found[0], found[1], tf.cast(found[2], tf.int32), found[3])
