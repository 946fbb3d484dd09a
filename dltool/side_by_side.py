"""Parts of a batch, for loops over time that run side by side on a CPU."""

from __future__ import annotations

import os
from typing import Any

import tensorflow as tf

ROWS = 32  # of a batch, at least, in a loop of its own


def shares(batch: tf.Tensor, loops: int | None = None) -> list[Any]:
    """Rows of a batch for each loop, as even as can be.

    One time step of a recurrent layer is too small to be shared out itself: two loops over half the rows each keep two
    processors busier than one over all rows.

    Args:
        batch: what is to be shared out along its first axis.
        loops: at most so many; by default one for each processor, and one in all where there is a GPU.
    Returns:
        Sizes for `tf.split`; where the batch's size is known, `ROWS` at least each, or all of it.
    """
    loops = processors() if loops is None else loops
    rows = batch.shape[0]
    if rows is None:
        rows = tf.shape(batch)[0]
    else:
        loops = max(1, min(loops, rows // ROWS))
    return [(rows + number) // loops for number in range(loops)]


def processors() -> int:
    """Those that this process may use; 1 where there is a GPU, which shares out itself."""
    if tf.config.get_visible_devices("GPU"):
        return 1
    if hasattr(os, "sched_getaffinity"):  # which not every system has
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
