"""Which pixels of images lie in a rectangle of each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from keras import ops


def inside(rows: int, columns: int, first: Sequence[Any], stop: Sequence[Any]) -> Any:
    """Return whether first <= (row, column) < stop for each pixel, bool (batch, rows, columns, 1).

    Args:
        first, stop: for rows and columns, int (batch,) each; beyond the border there is nothing to hold.
    """
    held = []
    for extent, low, high in zip((rows, columns), first, stop, strict=True):
        index = ops.arange(extent, dtype="int32")[None]
        held.append(ops.logical_and(index >= low[:, None], index < high[:, None]))  # (batch, extent)
    return ops.logical_and(held[0][:, :, None, None], held[1][:, None, :, None])
