"""Parts of a batch, for loops over time that run side by side on a CPU."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from dltool.ops import devices

ROWS = 32  # of a batch, at least, in a loop of its own: a step of few is mostly overhead
MOST = 4  # loops: each is traced anew, and has its own gradient of every weight


def in_parts(loop: Callable[..., Any], *batches: tf.Tensor, loops: int | None = None) -> list[Any]:
    """loop(*parts) of each part of the batches, in graphs that TensorFlow runs at the same time.

    One time step of a recurrent layer is too small to be shared out itself: two loops over half the rows each keep two
    processors busier than one over all rows.

    Args:
        batches: (batch, ...) each.
        loops: at most so many. Defaults to `devices.processors()`.
    """
    sizes = shares(batches[0], devices.processors() if loops is None else loops)
    if len(sizes) == 1:
        return [loop(*batches)]
    return [loop(*parts) for parts in zip(*(tf.split(batch, sizes) for batch in batches), strict=True)]


def shares(batch: tf.Tensor, loops: int) -> list[Any]:
    """Return the rows of a batch for each of up to `loops` loops. A loop has at least ROWS rows, except the last one.

    If the size of the batch is unknown, the number of loops is `loops`, and a small batch leaves some of them without
    rows.
    """
    rows, loops = batch.shape[0], max(1, min(loops, MOST))
    if rows is not None:
        loops = max(1, min(loops, rows // ROWS))
        return [(rows + number) // loops for number in range(loops)]
    if loops == 1:
        return [tf.shape(batch)[0]]
    rows = tf.shape(batch)[0]
    size = tf.maximum(ROWS, -(-rows // loops))
    return [tf.clip_by_value(rows - number * size, 0, size) for number in range(loops)]
