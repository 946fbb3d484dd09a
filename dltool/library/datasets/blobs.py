"""Normal clouds of points, one a class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from dltool.data import arguments
from dltool.library.datasets._formulas import DrawnClasses

CENTERS = ((-2.0, 0.0), (2.0, 0.0))


class Blobs(DrawnClasses):
    """Points x ~ N(c_y, stddev^2 I) around one centre a class, as many of each class as the others (or one more).

    x is float32 (samples, features), y is int32 (samples,), the number of the centre.

    Args:
        samples: number of training points, int > 0. Defaults to 100.
        centers: one point a class, rows of equally many numbers, at least two. Defaults to (-2, 0) and (2, 0).
        stddev: standard deviation of each coordinate, in units of x, >= 0. Defaults to 1.0.
        test_samples: number of test points, int >= 0. Defaults to 200.
        seed: seed of points and order, int >= 0. Defaults to 0.
    Raises:
        ValueError: if an argument is out of its range.
    Limits: clouds of equal spread only, so that the best boundary between two is a straight line.
    Reference: Hastie, Tibshirani & Friedman, 2009, The elements of statistical learning, section 4.3.
    """

    def __init__(
        self,
        samples: int = 100,
        centers: Sequence[Sequence[float]] = CENTERS,
        stddev: float = 1.0,
        test_samples: int = 200,
        seed: int = 0,
    ):
        super().__init__(samples, test_samples, seed)
        try:
            self.centers = np.array(centers, np.float64)
        except (TypeError, ValueError):
            self.centers = np.empty(0)
        if self.centers.ndim != 2 or len(self.centers) < 2 or not np.isfinite(self.centers).all():
            raise arguments.wrong("Blobs", "centers", "at least two equal rows of numbers", centers)
        self.noise = arguments.real("Blobs", "stddev", stddev, 0.0)

    def facts(self) -> dict[str, Any]:
        return {"input_shape": (self.centers.shape[1],), "num_classes": len(self.centers)}

    def points(self, count: int) -> tuple[np.ndarray, np.ndarray]:
        labels = np.arange(count) % len(self.centers)
        return self.centers[labels], labels
