"""Cross-entropy over many classes, a few rows of scores at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import tensorflow as tf

from dltool import side_by_side

SCORES = 2**18  # at a time: 1 MB of float32, which stays in the cache of one processor
MANY = 1024  # classes from which on that is worth a loop
_KEPT = "_dltool_row_statistics"  # of a tensor of scores, as Keras keeps its mask


class RowStatistics(NamedTuple):
    """Of each row of scores, float32 (...): log sum over classes of exp score, the largest score, and their mean."""

    normalizer: tf.Tensor
    largest: tf.Tensor
    mean: tf.Tensor


def crossentropy(logits: tf.Tensor, labels: Any, smoothing: float = 0.0) -> tf.Tensor:
    """(1 - e) * -log p[label] + e * mean over classes of -log p, p = softmax(logits), e = smoothing: float32 (...).

    Computed in float32 from logits as they are: those of bfloat16 are neither copied to float32 as a whole, nor is
    their gradient. Rows are taken a few at a time through all of exp, sums and gradient, so that they come from memory
    once, and parts of them side by side. `statistics` that were kept are used.

    Args:
        logits: (..., classes).
        labels: int (...), each in [0, classes).
    Limits: gradients of gradients are not to be had.
    """
    known = statistics(logits)
    classes = logits.shape[-1]
    labels = tf.cast(labels, tf.int32)

    @tf.custom_gradient
    def nats(logits: tf.Tensor) -> Any:
        value = known.normalizer - (1 - smoothing) * label_scores(logits, labels)
        if smoothing:
            value -= smoothing * known.mean

        def gradient(upstream: tf.Tensor) -> tf.Tensor:
            """upstream * (softmax - e / classes - (1 - e) [class = label])."""

            def of_rows(rows: tf.Tensor, labels: tf.Tensor, normalizer: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
                found = tf.exp(tf.cast(rows, tf.float32) - normalizer[:, tf.newaxis])
                if smoothing:
                    found -= smoothing / classes
                found *= weights[:, tf.newaxis]
                places = tf.stack([tf.range(tf.shape(labels)[0]), labels], axis=1)
                return tf.cast(tf.tensor_scatter_nd_sub(found, places, (1 - smoothing) * weights), rows.dtype)

            flat = (tf.reshape(one, [-1]) for one in (labels, known.normalizer, upstream))
            (found,) = _by_rows(lambda *rows: (of_rows(*rows),), tf.reshape(logits, [-1, classes]), *flat)
            return tf.reshape(found, tf.shape(logits))

        return value, gradient

    return nats(logits)


def statistics(logits: tf.Tensor) -> RowStatistics:
    """Statistics of each row of scores (..., classes), kept with the tensor for loss and metrics; no gradients."""
    known = kept_statistics(logits)
    if known is None:
        shape = tf.shape(logits)[:-1]
        flat = tf.reshape(tf.stop_gradient(logits), [-1, logits.shape[-1]])
        found = (tf.reshape(one, shape) for one in _by_rows(_statistics, flat))
        known = RowStatistics(*found)
        setattr(logits, _KEPT, known)
    return known


def kept_statistics(scores: Any) -> RowStatistics | None:
    """What `statistics` found of this tensor before."""
    return getattr(scores, _KEPT, None)


def label_scores(scores: tf.Tensor, labels: Any) -> tf.Tensor:
    """The score of each row's label, float32 (...)."""
    labels = tf.cast(labels, tf.int32)
    return tf.cast(tf.gather(scores, labels, axis=-1, batch_dims=labels.shape.rank), tf.float32)


def _statistics(rows: tf.Tensor) -> tuple[tf.Tensor, ...]:
    scores = tf.cast(rows, tf.float32)
    largest = tf.reduce_max(scores, axis=-1, keepdims=True)
    total = tf.reduce_sum(tf.exp(scores - largest), axis=-1)
    largest = largest[:, 0]
    return tf.math.log(total) + largest, largest, tf.reduce_mean(scores, axis=-1)


def _by_rows(compute: Callable[..., tuple[tf.Tensor, ...]], *arrays: tf.Tensor) -> list[tf.Tensor]:
    """compute(*arrays), (rows, ...) each, of a few rows at a time where there are many classes and no GPU."""
    classes = arrays[0].shape[-1]
    if classes < MANY or tf.config.get_visible_devices("GPU"):
        return list(compute(*arrays))
    at_once = max(1, SCORES // classes)
    found = side_by_side.in_parts(lambda *part: _loop(compute, at_once, *part), *arrays)
    return [tf.concat(one, axis=0) for one in zip(*found, strict=True)]


def _loop(compute: Callable[..., tuple[tf.Tensor, ...]], at_once: int, *arrays: tf.Tensor) -> list[tf.Tensor]:
    rows = tf.shape(arrays[0])[0]
    count = -(-rows // at_once)
    like = compute(*(tf.zeros([0, *array.shape[1:]], array.dtype) for array in arrays))
    written = [
        tf.TensorArray(one.dtype, size=count, element_shape=[None, *one.shape[1:]], infer_shape=False) for one in like
    ]

    def body(number: tf.Tensor, arrays_written: list) -> tuple:
        part = (array[number * at_once : (number + 1) * at_once] for array in arrays)
        found = compute(*part)
        return number + 1, [array.write(number, one) for array, one in zip(arrays_written, found, strict=True)]

    _, written = tf.while_loop(lambda number, _: number < count, body, (tf.constant(0), written))
    return [tf.cond(count > 0, array.concat, lambda one=one: one) for array, one in zip(written, like, strict=True)]
