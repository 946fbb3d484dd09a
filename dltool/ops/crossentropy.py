"""Cross-entropy over many classes, a few rows of scores at a time."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import tensorflow as tf

from dltool.ops import parallel

SCORES = 2**18  # at a time: 1 MB of float32, which stays in the cache of one processor
_KEPT = "_dltool_row_statistics"  # of a tensor of scores, as Keras keeps its mask


class RowStatistics(NamedTuple):
    """Statistics of each row of scores, float32 (...), for cross-entropy and accuracy.

    Differences to the largest score, as in log-sum-exp, so that an offset common to all scores costs no digits.
    """

    largest: tf.Tensor
    log_total: tf.Tensor  # log sum over classes of exp(score - largest)
    mean: tf.Tensor | None  # over classes, of score - largest, where it was asked for


def crossentropy(logits: tf.Tensor, labels: Any, smoothing: float = 0.0) -> tf.Tensor:
    """Return (1 - e) * -log p[label] + e * mean over classes of -log p, float32 (...).

    p = softmax(logits), e = smoothing. The computation is in float32, but bfloat16 logits are never copied to float32
    as a whole, nor is their gradient. Rows are taken a few at a time through a whole pass, one pass for the value and
    one for the gradient, so that intermediate values are not written to memory; parts of them run in parallel. Kept
    `statistics` are used.

    Args:
        logits: (..., classes).
        labels: int (...) or (..., 1), each in [0, classes).
    Limits: gradients of gradients do not exist; not for XLA, which cannot know how many rows a turn has.
    """
    known, classes = statistics(logits, mean=smoothing > 0), logits.shape[-1]
    labels = _one_a_row(logits, labels)

    @tf.custom_gradient
    def nats(logits: tf.Tensor) -> Any:
        value = known.log_total - (1 - smoothing) * (_label_scores(logits, labels) - known.largest)
        if known.mean is not None:
            value -= smoothing * known.mean

        def gradient(upstream: tf.Tensor) -> tf.Tensor:
            """Return upstream * (softmax - e / classes - (1 - e) [class = label])."""

            def of_rows(rows: Any, labels: Any, largest: Any, log_total: Any, weights: Any) -> tuple[tf.Tensor]:
                shifted = tf.cast(rows, tf.float32) - largest[:, tf.newaxis]
                found = tf.exp(shifted - log_total[:, tf.newaxis])
                if smoothing:
                    found -= smoothing / classes
                found *= weights[:, tf.newaxis]
                places = tf.stack([tf.range(tf.shape(labels)[0]), labels], axis=1)
                return (tf.cast(tf.tensor_scatter_nd_sub(found, places, (1 - smoothing) * weights), rows.dtype),)

            flat = (tf.reshape(one, [-1]) for one in (labels, known.largest, known.log_total, upstream))
            (found,) = _by_rows(of_rows, tf.reshape(logits, [-1, classes]), *flat)
            return tf.reshape(found, tf.shape(logits))

        return value, gradient

    return nats(logits)


def statistics(logits: tf.Tensor, mean: bool = False) -> RowStatistics:
    """Return statistics of each row of scores (..., classes), kept for loss and metrics; no gradients."""
    known = kept_statistics(logits)
    if known is None or (mean and known.mean is None):
        shape = tf.shape(logits)[:-1]
        flat = tf.reshape(tf.stop_gradient(logits), [-1, logits.shape[-1]])
        found = [tf.reshape(one, shape) for one in _by_rows(functools.partial(_statistics, mean), flat)]
        known = RowStatistics(found[0], found[1], found[2] if mean else None)
        setattr(logits, _KEPT, known)
    return known


def kept_statistics(scores: Any) -> RowStatistics | None:
    """Return kept statistics of this tensor if they may be used here, in the graph of a step."""
    known = getattr(scores, _KEPT, None)
    if known is None or not tf.is_symbolic_tensor(known.largest):
        return known
    return known if known.largest.graph is tf.compat.v1.get_default_graph() else None


def kept_crossentropy(scores: Any, labels: Any) -> tf.Tensor | None:
    """Return -log p[label] of each row, float32 (...), from kept statistics, or None. No gradients."""
    known = kept_statistics(scores)
    if known is None:
        return None
    return known.log_total - (_label_scores(scores, _one_a_row(scores, labels)) - known.largest)


def merged(scores: Any, axes: int) -> tf.Tensor:
    """Return a tensor whose first `axes` axes are one, with the statistics that were kept of its rows."""
    scores = tf.convert_to_tensor(scores)
    flat = tf.reshape(scores, tf.concat([[-1], tf.shape(scores)[axes:]], axis=0))
    flat = tf.ensure_shape(flat, [None, *scores.shape[axes:]])
    if (known := kept_statistics(scores)) is not None:
        setattr(flat, _KEPT, RowStatistics(*(None if one is None else tf.reshape(one, [-1]) for one in known)))
    return flat


def _one_a_row(scores: tf.Tensor, labels: Any) -> tf.Tensor:
    labels = tf.cast(labels, tf.int32)
    return tf.squeeze(labels, axis=-1) if labels.shape.rank == scores.shape.rank else labels


def _label_scores(scores: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    return tf.cast(tf.gather(scores, labels, axis=-1, batch_dims=labels.shape.rank), tf.float32)


def _statistics(mean: bool, rows: tf.Tensor) -> tuple[tf.Tensor, ...]:
    scores = tf.cast(rows, tf.float32)
    largest = tf.reduce_max(scores, axis=-1, keepdims=True)
    shifted = scores - largest
    total = tf.reduce_sum(tf.exp(shifted), axis=-1)
    means = (tf.reduce_mean(shifted, axis=-1),) if mean else ()
    return (largest[:, 0], tf.math.log(total), *means)


def _by_rows(compute: Callable[..., tuple[tf.Tensor, ...]], *arrays: tf.Tensor) -> list[tf.Tensor]:
    """Return compute(*arrays), evaluated on a few rows at a time. Arrays are (rows, ...), the first (rows, classes)."""
    at_once = max(1, SCORES // arrays[0].shape[-1])
    found = parallel.in_parts(lambda *part: _loop(compute, at_once, *part), *arrays)
    return [tf.concat(one, axis=0) for one in zip(*found, strict=True)]


def _loop(compute: Callable[..., tuple[tf.Tensor, ...]], at_once: int, *arrays: tf.Tensor) -> list[tf.Tensor]:
    count = -(-tf.shape(arrays[0])[0] // at_once)
    like = compute(*(tf.zeros([0, *array.shape[1:]], array.dtype) for array in arrays))  # where there are no rows
    written = [
        tf.TensorArray(one.dtype, size=count, element_shape=[None, *one.shape[1:]], infer_shape=False) for one in like
    ]

    def body(turn: tf.Tensor, arrays_written: list) -> tuple:
        found = compute(*(array[turn * at_once : (turn + 1) * at_once] for array in arrays))
        return turn + 1, [array.write(turn, one) for array, one in zip(arrays_written, found, strict=True)]

    first = (tf.constant(0), written)
    # one turn at a time: turns do not wait for each other, and several would push each other out of the cache
    _, written = tf.while_loop(lambda turn, _: turn < count, body, first, parallel_iterations=1)
    return [tf.cond(count > 0, array.concat, lambda one=one: one) for array, one in zip(written, like, strict=True)]
