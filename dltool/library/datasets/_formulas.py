"""The base of datasets that are drawn from a formula: independent training and test parts of chosen sizes."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import numpy as np

from dltool.data import arguments
from dltool.data.base import Dataset, Examples

STREAMS = {"train": 0, "test": 1}  # each part's own random numbers


class Drawn(Dataset):
    """Examples that a formula and a seed give; training and test parts are drawn independently.

    Args:
        samples: number of training examples, int > 0.
        test_samples: number of test examples, int >= 0; 0: no part "test" is stored.
        seed: seed of the examples, int >= 0.
    """

    def __init__(self, samples: int, test_samples: int, seed: int) -> None:
        name = type(self).__name__
        self.samples = arguments.integer(name, "samples", samples, 1)
        self.test_samples = arguments.integer(name, "test_samples", test_samples, 0)
        self.seed = arguments.integer(name, "seed", seed, 0)

    def sizes(self) -> dict[str, int]:
        return {"train": self.samples, **({"test": self.test_samples} if self.test_samples else {})}

    def labels(self, part: str) -> np.ndarray:
        return self.read(part).y

    def read(self, part: str) -> Examples:
        count = self.sizes()[arguments.stored(type(self).__name__, part, self.sizes())]
        return self.draw(np.random.default_rng([self.seed, STREAMS[part]]), count)

    @abstractmethod
    def draw(self, rng: np.random.Generator, count: int) -> Examples:
        """Return that many examples, x float32 (count, features)."""


class DrawnClasses(Drawn):
    """Noisy points of classes, in random order: x float32 (samples, features), y int32 (samples,)."""

    noise: float

    @abstractmethod
    def points(self, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Return points without noise, float (count, features), and their classes, int (count,)."""

    @abstractmethod
    def facts(self) -> dict[str, Any]: ...

    def draw(self, rng: np.random.Generator, count: int) -> Examples:
        x, y = self.points(count)
        x = x + self.noise * rng.standard_normal(x.shape)
        order = rng.permutation(count)
        return Examples(x[order].astype(np.float32), y[order].astype(np.int32))
