"""Two interleaved half circles: the smallest problem that no straight line solves."""

from __future__ import annotations

from typing import Any

import numpy as np

from dltool.data import arguments
from dltool.library.datasets._formulas import DrawnClasses


class TwoMoons(DrawnClasses):
    """Two half circles of radius 1, with normal noise: (cos t, sin t) and (1 - cos t, 1/2 - sin t), t in [0, pi].

    x is float32 (samples, 2), y is int32 (samples,): 0 for the upper moon, 1 for the lower. The same points as
    `sklearn.datasets.make_moons`.

    Args:
        samples: number of training points, int > 0. Defaults to 200.
        noise: standard deviation of the noise, in units of x, >= 0. Defaults to 0.1.
        test_samples: number of test points, int >= 0. Defaults to 200.
        seed: seed of noise and order, int >= 0. Defaults to 0.
    Raises:
        ValueError: if an argument is out of its range.
    Limits: angles are evenly spaced, so that without noise training and test points are the same.
    Reference: lecture slide 18 (its data).
    """

    def __init__(self, samples: int = 200, noise: float = 0.1, test_samples: int = 200, seed: int = 0):
        super().__init__(samples, test_samples, seed)
        self.noise = arguments.real("TwoMoons", "noise", noise, 0.0)

    def facts(self) -> dict[str, Any]:
        return {"input_shape": (2,), "num_classes": 2, "class_names": ["upper", "lower"]}

    def points(self, count: int) -> tuple[np.ndarray, np.ndarray]:
        upper = np.linspace(0, np.pi, count // 2)
        lower = np.linspace(0, np.pi, count - count // 2)
        x = np.concatenate([np.cos(upper), 1 - np.cos(lower)])
        y = np.concatenate([np.sin(upper), 0.5 - np.sin(lower)])
        return np.stack([x, y], axis=1), np.repeat([0, 1], [len(upper), len(lower)])
