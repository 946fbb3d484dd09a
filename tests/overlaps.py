"""Boxes at random and their overlap, box by box in plain Python: the reference of tests."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def random_boxes(count: int, seed: int, rows: int = 64, columns: int = 96) -> np.ndarray:
    """Return boxes of at least 2 pixels a side within an image, float32 (count, 4)."""
    rng = np.random.default_rng(seed)
    low = rng.uniform(0, [columns - 4, rows - 4], (count, 2))
    sizes = rng.uniform(2, [columns / 2, rows / 2], (count, 2))
    return np.concatenate([low, np.minimum(low + sizes, [columns, rows])], axis=1).astype(np.float32)


def iou_of(one: Sequence[float], other: Sequence[float]) -> float:
    """Return intersection / union of two boxes."""
    wide = max(0.0, min(one[2], other[2]) - max(one[0], other[0]))
    high = max(0.0, min(one[3], other[3]) - max(one[1], other[1]))
    area = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    return wide * high / max(area[0] + area[1] - wide * high, 1e-7)
