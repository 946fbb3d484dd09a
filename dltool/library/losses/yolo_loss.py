"""YOLO's loss: of boxes, of their certainty, of their classes."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from dltool.ops import boxes


class Assignment(NamedTuple):
    """Which true box each candidate answers for.

    Args:
        positive: whether it answers for one, bool (batch, candidates).
        index: of this box, int (batch, candidates).
        counts: whether its objectness counts, bool (batch, candidates).
    """

    positive: Any
    index: Any
    counts: Any


@keras.saving.register_keras_serializable("dltool")
class YoloLoss(keras.losses.Loss):
    """The loss of an image, with n the candidates that answer for a true box, at least 1:

        L = 1/n (box sum_pos (1 - CIoU) + objectness sum_all BCE(p, t) + class sum_pos cross-entropy)

    A true box is answered for by the anchors of the cell that its centre lies in: by the one of the best fitting size,
    and by all whose size fits with an IoU above `match_threshold`; an anchor that fits several answers for the one it
    fits best. The target t of p = P(object) is the IoU of the predicted and the true box, so that p ranks boxes by
    how well they lie; background has t = 0. Not counted in the second sum are background candidates that overlap a
    true box by more than `ignore_threshold`, and those that lie in or belong to an ignored box.

    Args:
        box, objectness, classification: weights of the three parts, >= 0. Default to 2.0, 1.0 and 1.0.
        match_threshold: IoU of sizes, in [0, 1]. Defaults to 0.6.
        ignore_threshold: IoU, in [0, 1]. Defaults to 0.7.
        reduction: as in Keras's losses. Defaults to the mean over images.
    Shapes: targets (batch, max_boxes, 6): x_min, y_min, x_max, y_max in pixels, class (-1: padding), ignored (1 or 0);
        predictions as `YoloHead` gives them, (batch, candidates, 9 + classes).
    Raises:
        ValueError: if an argument is out of its range.
    Limits: its value is no likelihood; compare models by mean average precision. No gradient flows through what p aims
        at, so that `dltool check-gradients`, which varies it too, finds other differences.
    Reference: Redmon & Farhadi, 2017, arXiv:1612.08242 (objectness by IoU); Bochkovskiy, Wang & Liao, 2020, YOLOv4,
        arXiv:2004.10934 (several anchors of a box, CIoU); lecture slide 127.
    """

    def __init__(
        self,
        box: float = 2.0,
        objectness: float = 1.0,
        classification: float = 1.0,
        match_threshold: float = 0.6,
        ignore_threshold: float = 0.7,
        reduction: str = "sum_over_batch_size",
        name: str = "yolo_loss",
        dtype: Any = None,
    ) -> None:
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        for key, weight in (("box", box), ("objectness", objectness), ("classification", classification)):
            if not _is_number(weight) or not 0 <= weight < math.inf:
                raise ValueError(f"The '{key}' parameter of YoloLoss must be a number >= 0. Got {weight!r}.")
        for key, share in (("match_threshold", match_threshold), ("ignore_threshold", ignore_threshold)):
            if not _is_number(share) or not 0 <= share <= 1:
                raise ValueError(f"The '{key}' parameter of YoloLoss must be a number in [0, 1]. Got {share!r}.")
        self.box, self.objectness, self.classification = box, objectness, classification
        self.match_threshold, self.ignore_threshold = match_threshold, ignore_threshold

    def call(self, y_true: Any, y_pred: Any) -> Any:
        found = boxes.split(y_pred)
        truth = tf.cast(y_true, found.boxes.dtype)
        assigned = self.assign(truth, found)
        own = tf.gather(truth, assigned.index, batch_dims=1)  # (batch, candidates, 6)
        positive = tf.cast(assigned.positive, truth.dtype)
        # candidates that answer for nothing get a box of their own: padding has no area, and no finite gradient
        target = tf.where(assigned.positive[..., tf.newaxis], own[..., :4], tf.stop_gradient(found.boxes))
        overlap = boxes.ciou(found.boxes, target)
        fits = tf.stop_gradient(tf.clip_by_value(_paired_iou(found.boxes, target), 0.0, 1.0)) * positive
        certain = tf.nn.sigmoid_cross_entropy_with_logits(labels=fits, logits=found.objectness)
        labels = tf.cast(tf.maximum(own[..., 4], 0.0), tf.int32)
        labels = tf.where(assigned.positive, labels, tf.zeros_like(labels))
        named = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=found.classes)
        parts = (
            self.box * (1.0 - overlap) * positive
            + self.classification * named * positive
            + self.objectness * certain * tf.cast(assigned.counts, truth.dtype)
        )
        return tf.reduce_sum(parts, axis=-1) / tf.maximum(tf.reduce_sum(positive, axis=-1), 1.0)

    def assign(self, truth: Any, found: boxes.Candidates) -> Assignment:
        """Return which true box each candidate answers for, without gradient.

        Args:
            truth: (batch, max_boxes, 6).
            found: of the model.
        """
        there = truth[..., 4] >= 0  # (batch, boxes)
        ignored = there & (truth[..., 5] > 0)
        fit = self._fit(truth, found.priors)  # (batch, boxes, candidates), 0 where a candidate does not answer
        fit = tf.where(there[..., tf.newaxis], fit, 0.0)
        best = tf.argmax(fit, axis=1, output_type=tf.int32)
        claimed = tf.reduce_max(fit, axis=1) > 0
        of_ignored = tf.gather(ignored, best, batch_dims=1)
        positive = claimed & ~of_ignored
        predicted = tf.stop_gradient(found.boxes)
        overlap = tf.where((there & ~ignored)[:, tf.newaxis], boxes.iou(predicted, truth[..., :4]), 0.0)
        inside = tf.where(ignored[:, tf.newaxis], boxes.covered(predicted, truth[..., :4]), 0.0)
        unclear = (tf.reduce_max(overlap, axis=-1) > self.ignore_threshold) | (tf.reduce_max(inside, axis=-1) > 0.5)
        return Assignment(positive, best, positive | ~(unclear | claimed))

    def _fit(self, truth: Any, priors: Any) -> Any:
        """Return how well the size of each candidate fits the boxes it answers for, in [0, 1], else 0."""
        sizes = truth[..., 2:4] - truth[..., 0:2]  # (batch, boxes, 2)
        centres = (truth[..., 0:2] + truth[..., 2:4]) / 2
        apart = tf.reduce_sum((centres[:, :, tf.newaxis] - priors[:, tf.newaxis, :, :2]) ** 2, axis=-1)
        nearest = tf.gather(priors, tf.argmin(apart, axis=-1), batch_dims=1)  # (batch, boxes, 4)
        same = tf.reduce_all(nearest[:, :, tf.newaxis, :2] == priors[:, tf.newaxis, :, :2], axis=-1)  # the same cell
        common = tf.reduce_prod(tf.minimum(sizes[:, :, tf.newaxis], priors[:, tf.newaxis, :, 2:]), axis=-1)
        own, others = tf.reduce_prod(sizes, axis=-1), tf.reduce_prod(priors[..., 2:], axis=-1)
        union = own[..., tf.newaxis] + others[:, tf.newaxis]
        fit = tf.where(same, common / tf.maximum(union - common, boxes.EPSILON), 0.0)
        is_best = same & (fit >= tf.reduce_max(fit, axis=-1, keepdims=True))
        return tf.where(is_best | (fit > self.match_threshold), fit, 0.0)

    def get_config(self) -> dict[str, Any]:
        own = {
            "box": self.box,
            "objectness": self.objectness,
            "classification": self.classification,
            "match_threshold": self.match_threshold,
            "ignore_threshold": self.ignore_threshold,
        }
        return {**super().get_config(), **own}


def _paired_iou(one: Any, other: Any) -> Any:
    """Return intersection / union of boxes (..., 4) in pairs, (...)."""
    return boxes.iou(one[..., tf.newaxis, :], other[..., tf.newaxis, :])[..., 0, 0]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
