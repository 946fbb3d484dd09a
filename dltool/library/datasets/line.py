"""Noisy points on a straight line: the smallest regression problem."""

from __future__ import annotations

from typing import Any

import numpy as np

from dltool.data import arguments
from dltool.data.base import Dataset, Examples


class Line(Dataset):
    """Points y = slope * x + intercept + U(-noise, noise), x ~ U(low, high).

    x is float32 (samples, 1), y is float32 (samples,); the one stored part is "train".

    Args:
        samples: number of points, int > 0. Defaults to 30.
        slope: change of y per unit of x. Defaults to 3.0.
        intercept: y at x = 0. Defaults to 2.0.
        noise: half width of the uniform noise, in units of y, >= 0. Defaults to 0.1.
        low: lower end of x. Defaults to -10.0.
        high: upper end of x, > low. Defaults to 10.0.
        seed: seed of the points, int >= 0. Defaults to 0.
    Raises:
        ValueError: if an argument is out of its range.
    Limits: one input, one target, and noise of bounded support: least squares is not its likelihood.
    Reference: Fix, Deep learning (lecture), CentraleSupelec, 2016, slide 67.
    """

    task = "regression"

    def __init__(
        self,
        samples: int = 30,
        slope: float = 3.0,
        intercept: float = 2.0,
        noise: float = 0.1,
        low: float = -10.0,
        high: float = 10.0,
        seed: int = 0,
    ):
        self.samples = arguments.integer("Line", "samples", samples, 1)
        self.slope = arguments.real("Line", "slope", slope)
        self.intercept = arguments.real("Line", "intercept", intercept)
        self.noise = arguments.real("Line", "noise", noise, 0.0)
        self.low = arguments.real("Line", "low", low)
        self.high = arguments.real("Line", "high", high)
        if self.high <= self.low:
            raise arguments.wrong("Line", "high", f"a number > low ({self.low})", high)
        self.seed = arguments.integer("Line", "seed", seed, 0)

    def sizes(self) -> dict[str, int]:
        return {"train": self.samples}

    def facts(self) -> dict[str, Any]:
        return {"input_shape": (1,), "num_targets": 1}

    def labels(self, part: str) -> np.ndarray:
        return self.read(part).y

    def read(self, part: str) -> Examples:
        arguments.stored("Line", part, self.sizes())
        rng = np.random.default_rng(self.seed)
        x = rng.uniform(self.low, self.high, self.samples)
        y = self.slope * x + self.intercept + rng.uniform(-self.noise, self.noise, self.samples)
        return Examples(x.astype(np.float32)[:, np.newaxis], y.astype(np.float32))
