"""One wave of a sine with noise: the lecture's example of overfitting."""

from __future__ import annotations

from typing import Any

import numpy as np

from dltool.data import arguments
from dltool.data.base import Examples
from dltool.library.datasets._formulas import Drawn


class NoisySine(Drawn):
    """Points y = 0.5 + 0.4 sin(2 pi cycles x) + N(0, noise^2), x ~ U(0, 1).

    x is float32 (samples, 1), y is float32 (samples,), mostly in [0, 1], as the slides draw it.

    Args:
        samples: number of training points, int > 0. Defaults to 30.
        noise: standard deviation of the noise, in units of y, >= 0. Defaults to 0.1.
        cycles: waves between x = 0 and x = 1, > 0. Defaults to 1.0.
        test_samples: number of test points, with noise of their own, int >= 0. Defaults to 200.
        seed: seed of the points, int >= 0. Defaults to 0.
    Raises:
        ValueError: if an argument is out of its range.
    Limits: the mean squared error of the test points is noise^2 for the sine itself: no model does better by skill.
    Reference: lecture slides 52 and 54.
    """

    task = "regression"

    def __init__(
        self, samples: int = 30, noise: float = 0.1, cycles: float = 1.0, test_samples: int = 200, seed: int = 0
    ):
        super().__init__(samples, test_samples, seed)
        self.noise = arguments.real("NoisySine", "noise", noise, 0.0)
        self.cycles = arguments.real("NoisySine", "cycles", cycles)
        if self.cycles <= 0:
            raise arguments.wrong("NoisySine", "cycles", "a number > 0", cycles)

    def facts(self) -> dict[str, Any]:
        return {"input_shape": (1,), "num_targets": 1}

    def draw(self, rng: np.random.Generator, count: int) -> Examples:
        x = rng.uniform(0, 1, count)
        y = 0.5 + 0.4 * np.sin(2 * np.pi * self.cycles * x) + self.noise * rng.standard_normal(count)
        return Examples(x.astype(np.float32)[:, np.newaxis], y.astype(np.float32))
