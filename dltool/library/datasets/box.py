"""A function that is 1 within an interval and 0 outside: what two sigmoids approximate."""

from __future__ import annotations

from typing import Any

import numpy as np

from dltool.data import arguments
from dltool.data.base import Dataset, Examples


class Box(Dataset):
    """The indicator of an interval on evenly spaced points: y = 1 if low <= x <= high else 0, x in [0, 1].

    x is float32 (samples, 1), y is float32 (samples,). The interval is the whole of the problem, so the parts "train"
    and "test" hold the same points.

    Args:
        samples: number of points, int > 1. Defaults to 1001.
        low, high: ends of the interval, 0 <= low < high <= 1. Default to 0.3 and 0.7.
    Raises:
        ValueError: if an argument is out of its range.
    Limits: no continuous function comes near in the largest error, which is 1/2 or more at each edge.
    Reference: lecture slide 46.
    """

    task = "regression"

    def __init__(self, samples: int = 1001, low: float = 0.3, high: float = 0.7):
        self.samples = arguments.integer("Box", "samples", samples, 2)
        self.low = arguments.real("Box", "low", low, 0.0)
        self.high = arguments.real("Box", "high", high)
        if not self.low < self.high <= 1:
            raise arguments.wrong("Box", "high", f"a number in (low, 1], low being {self.low}", high)

    def sizes(self) -> dict[str, int]:
        return {"train": self.samples, "test": self.samples}

    def facts(self) -> dict[str, Any]:
        return {"input_shape": (1,), "num_targets": 1}

    def labels(self, part: str) -> np.ndarray:
        return self.read(part).y

    def read(self, part: str) -> Examples:
        arguments.stored("Box", part, self.sizes())
        x = np.linspace(0, 1, self.samples)
        return Examples(x.astype(np.float32)[:, np.newaxis], ((self.low <= x) & (x <= self.high)).astype(np.float32))
