"""Nineteen points on a line, of which one is strongly misclassified by every boundary that suits the others."""

from __future__ import annotations

from typing import Any

import numpy as np

from dltool.data import arguments
from dltool.data.base import Dataset, Examples


class Outlier(Dataset):
    """Nine points from -3 to -1 of class 0, nine from 1 to 3 of class 1, and one of class 0 far beyond these.

    x is float32 (19, 1), y is int32 (19,). The points are the whole of the problem, so the parts "train" and "test"
    both hold them.

    Args:
        distance: where the last point lies, > 3. Defaults to 8.0.
    Raises:
        ValueError: if `distance` is not above 3.
    Limits: nothing is held out.
    Reference: lecture slide 29 (a strongly misclassified sample).
    """

    def __init__(self, distance: float = 8.0):
        self.distance = arguments.real("Outlier", "distance", distance)
        if self.distance <= 3:
            raise arguments.wrong("Outlier", "distance", "a number > 3", distance)

    def sizes(self) -> dict[str, int]:
        return {"train": 19, "test": 19}

    def facts(self) -> dict[str, Any]:
        return {"input_shape": (1,), "num_classes": 2, "class_names": ["0", "1"]}

    def labels(self, part: str) -> np.ndarray:
        arguments.stored("Outlier", part, self.sizes())
        return np.repeat(np.array([0, 1, 0], np.int32), [9, 9, 1])

    def read(self, part: str) -> Examples:
        x = np.concatenate([np.linspace(-3, -1, 9), np.linspace(1, 3, 9), [self.distance]])
        return Examples(x.astype(np.float32)[:, np.newaxis], self.labels(part))
