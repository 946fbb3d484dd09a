"""Mean average precision of a detector, kept as counts, so that it costs little in training."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from dltool.ops import boxes

BINS = 1000  # of scores from 0 to 1: boxes of one bin count as equally certain
RECALLS = 101  # places from 0 to 1 at which COCO reads precision


@keras.saving.register_keras_serializable("dltool")
class MeanAveragePrecision(keras.metrics.Metric):
    """Mean over classes of average precision at one IoU, as COCO has it, with scores rounded to 1/1000.

        AP = mean over r = 0, 0.01, ..., 1 of the largest precision at a recall >= r

    A predicted box is right if it overlaps a true box of its class that no more certain one has taken by at least
    `iou_threshold`; boxes that lie on ignored ones are neither right nor wrong. Classes without true boxes are left
    out. The figure of `dltool eval`, to the rounding of scores: it chooses the best epoch, `select.monitor:
    val_map_50`.

    Args:
        classes: how many, int > 0: ${data.num_classes}.
        iou_threshold: in (0, 1]. Defaults to 0.5.
        suppression: the IoU from which on the less certain of two predicted boxes of a class goes. Defaults to 0.5.
        least_score: of boxes that count. Defaults to 0.01.
        max_boxes: of an image, int > 0. Defaults to 100.
    Shapes: targets (batch, max_boxes, 6), predictions as `YoloHead` gives them, (batch, candidates, 9 + classes).
    Raises:
        ValueError: if an argument is out of its range.
    Reference: Lin et al., 2014, Microsoft COCO, arXiv:1405.0312, section 5, and its evaluation of detections.
    """

    def __init__(
        self,
        classes: int,
        iou_threshold: float = 0.5,
        suppression: float = 0.5,
        least_score: float = 0.01,
        max_boxes: int = 100,
        name: str = "map_50",
        dtype: Any = None,
    ) -> None:
        super().__init__(name=name, dtype=dtype)
        for key, value in (("classes", classes), ("max_boxes", max_boxes)):
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ValueError(f"The '{key}' parameter of MeanAveragePrecision must be an int > 0. Got {value!r}.")
        shares = {"iou_threshold": iou_threshold, "suppression": suppression, "least_score": least_score}
        for key, share in shares.items():
            if isinstance(share, bool) or not isinstance(share, int | float) or not 0 <= share <= 1:
                message = f"must be a number in [0, 1]. Got {share!r}."
                raise ValueError(f"The '{key}' parameter of MeanAveragePrecision {message}")
        self.classes, self.max_boxes, self.iou_threshold = classes, max_boxes, iou_threshold
        self.suppression, self.least_score = suppression, least_score
        self._direction = "up"
        self.counts = self.add_variable((2, classes, BINS), "zeros", name="counts")  # of wrong and of right boxes
        self.true = self.add_variable((classes,), "zeros", name="true")

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Count the boxes of a batch; weights of examples mean nothing."""
        truth, found = tf.cast(y_true, tf.float32), boxes.split(y_pred)
        kept = boxes.suppress(found.boxes, found.scores, self.least_score, self.suppression, self.max_boxes)
        right, wrong = match(kept, truth, self.iou_threshold)
        bins = tf.cast(tf.minimum(kept.scores * BINS, BINS - 1), tf.int32)
        places = tf.reshape(kept.classes * BINS + bins, [-1])  # (batch * most,)
        size = self.classes * BINS
        counts = [
            tf.math.unsorted_segment_sum(tf.cast(tf.reshape(one, [-1]), tf.float32), places, size)
            for one in (wrong, right)
        ]
        self.counts.assign_add(tf.reshape(tf.stack(counts), (2, self.classes, BINS)))
        there = (truth[..., 4] >= 0) & (truth[..., 5] == 0)
        labels = tf.where(there, tf.cast(truth[..., 4], tf.int32), self.classes)
        self.true.assign_add(tf.reduce_sum(tf.one_hot(labels, self.classes), axis=[0, 1]))

    def result(self) -> Any:
        """Return the mean average precision so far, 0 before there was a true box."""
        counts = tf.cumsum(tf.reverse(tf.convert_to_tensor(self.counts), [-1]), axis=-1)  # the most certain first
        wrong, right = counts[0], counts[1]
        true = tf.convert_to_tensor(self.true)
        precision = tf.math.divide_no_nan(right, right + wrong)  # (classes, bins)
        # the largest precision at this recall or beyond: a running maximum from the end
        beyond = tf.reverse(tf.scan(tf.maximum, tf.transpose(tf.reverse(precision, [-1]))), [0])  # (bins, classes)
        wanted = tf.linspace(0.0, 1.0, RECALLS)[tf.newaxis] * true[:, tf.newaxis]  # right boxes, (classes, recalls)
        first = tf.searchsorted(right, wanted - 1e-3)  # a count is whole, its product with a recall is rounded
        padded = tf.concat([tf.transpose(beyond), tf.zeros((self.classes, 1))], axis=-1)
        each = tf.reduce_mean(tf.gather(padded, first, batch_dims=1), axis=-1)
        occurs = tf.cast(true > 0, tf.float32)
        return tf.math.divide_no_nan(tf.reduce_sum(each * occurs), tf.reduce_sum(occurs))

    def get_config(self) -> dict[str, Any]:
        own = {
            "classes": self.classes,
            "iou_threshold": self.iou_threshold,
            "suppression": self.suppression,
            "least_score": self.least_score,
            "max_boxes": self.max_boxes,
        }
        return {**super().get_config(), **own}


def match(kept: boxes.Detections, truth: Any, threshold: float) -> tuple[Any, Any]:
    """Return which predicted boxes are right and which are wrong, bool (batch, most) each; others do not count.

    Args:
        kept: the most certain ones first.
        truth: (batch, max_boxes, 6).
        threshold: the least IoU of a right one.
    """
    same = tf.cast(truth[:, tf.newaxis, :, 4], tf.int32) == kept.classes[..., tf.newaxis]  # (batch, most, boxes)
    ignored = truth[..., 5] > 0
    overlap = tf.where(same & ~ignored[:, tf.newaxis], boxes.iou(kept.boxes, truth[..., :4]), 0.0)
    inside = tf.where(same & ignored[:, tf.newaxis], boxes.covered(kept.boxes, truth[..., :4]), 0.0)
    most = tf.shape(kept.scores)[1]
    shape = tf.shape(truth)[:2]
    size = truth.shape[1] or shape[1]  # a number if known: the loop below could not tell 1 from unknown

    def take(state: tuple[Any, Any], number: Any) -> tuple[Any, Any]:
        free, _ = state
        mine = tf.where(free, overlap[:, number], 0.0)  # (batch, boxes)
        best = tf.argmax(mine, axis=-1, output_type=tf.int32)
        is_right = tf.reduce_max(mine, axis=-1) >= threshold
        taken = tf.one_hot(best, size, on_value=True, off_value=False) & is_right[:, tf.newaxis]
        return free & ~taken, is_right

    start = (tf.ones(shape, tf.bool), tf.zeros(shape[:1], tf.bool))
    right = tf.transpose(tf.scan(take, tf.range(most), start)[1])
    there = tf.range(most)[tf.newaxis] < kept.count[:, tf.newaxis]
    right &= there
    return right, there & ~right & (tf.reduce_max(inside, axis=-1) < threshold)
