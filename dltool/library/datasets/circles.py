"""A circle within a circle: two classes that no straight line separates."""

from __future__ import annotations

from typing import Any

import numpy as np

from dltool.data import arguments
from dltool.library.datasets._formulas import DrawnClasses


class Circles(DrawnClasses):
    """Points on two concentric circles of radius 1 and `factor`, with normal noise.

    x is float32 (samples, 2), y is int32 (samples,): 0 for the outer circle, 1 for the inner. The same points as
    `sklearn.datasets.make_circles`.

    Args:
        samples: number of training points, int > 0. Defaults to 200.
        factor: radius of the inner circle, in (0, 1). Defaults to 0.5.
        noise: standard deviation of the noise, in units of x, >= 0. Defaults to 0.1.
        test_samples: number of test points, int >= 0. Defaults to 200.
        seed: seed of noise and order, int >= 0. Defaults to 0.
    Raises:
        ValueError: if an argument is out of its range.
    Limits: angles are evenly spaced, so that without noise training and test points are the same.
    Reference: lecture slide 18 (its data).
    """

    def __init__(
        self, samples: int = 200, factor: float = 0.5, noise: float = 0.1, test_samples: int = 200, seed: int = 0
    ):
        super().__init__(samples, test_samples, seed)
        self.factor = arguments.fraction("Circles", "factor", factor)
        if not self.factor:
            raise arguments.wrong("Circles", "factor", "a fraction in the range (0.0, 1.0)", factor)
        self.noise = arguments.real("Circles", "noise", noise, 0.0)

    def facts(self) -> dict[str, Any]:
        return {"input_shape": (2,), "num_classes": 2, "class_names": ["outer", "inner"]}

    def points(self, count: int) -> tuple[np.ndarray, np.ndarray]:
        sizes = (count // 2, count - count // 2)
        angles = np.concatenate([np.linspace(0, 2 * np.pi, size, endpoint=False) for size in sizes])
        radii = np.repeat([1.0, self.factor], sizes)
        return radii[:, np.newaxis] * np.stack([np.cos(angles), np.sin(angles)], axis=1), np.repeat([0, 1], sizes)
