"""A symbol to remember over a long time in which nothing unforeseen happens."""

from __future__ import annotations

from typing import Any

import numpy as np

from dltool.data import arguments
from dltool.data.base import Dataset, Examples


class LongLag(Dataset):
    """One symbol that nobody can foresee, then symbols that anybody can; the class is the first one.

        x:  c b_1 b_2 ... b_cycle b_1 b_2 ...     y: c

    x is float32 (examples, lag + 1, classes + cycle), one-hot: at the first step a symbol of `classes`, each equally
    likely, then `lag` steps of the other symbols, one after the other and over again. y is int32 (examples,). Whoever
    forgets the first step is right once in `classes`.

    Args:
        lag: steps from the symbol to the end, int > 0. Defaults to 100.
        classes: symbols to remember, int >= 2. Defaults to 4.
        cycle: symbols that follow each other, int > 0. Defaults to 5.
        examples: of the "train" part, int > 0. Defaults to 2,000.
        test_examples: of the "test" part, int > 0. Defaults to 1,000.
        seed: seed of the sequences, int >= 0. Defaults to 0.
    Raises:
        ValueError: if an argument is out of its range.
    Limits: sequences of one class are all alike; only their order is random.
    Reference: Schmidhuber, 1992, Learning complex, extended sequences using the principle of history compression,
        section 4 (lag 20); lecture slide 86.
    """

    def __init__(
        self,
        lag: int = 100,
        classes: int = 4,
        cycle: int = 5,
        examples: int = 2000,
        test_examples: int = 1000,
        seed: int = 0,
    ):
        self.lag = arguments.integer("LongLag", "lag", lag, 1)
        self.classes = arguments.integer("LongLag", "classes", classes, 2)
        self.cycle = arguments.integer("LongLag", "cycle", cycle, 1)
        self.examples = arguments.integer("LongLag", "examples", examples, 1)
        self.test_examples = arguments.integer("LongLag", "test_examples", test_examples, 1)
        self.seed = arguments.integer("LongLag", "seed", seed, 0)

    def sizes(self) -> dict[str, int]:
        return {"train": self.examples, "test": self.test_examples}

    def facts(self) -> dict[str, Any]:
        return {"input_shape": (self.lag + 1, self.classes + self.cycle), "num_classes": self.classes}

    def labels(self, part: str) -> np.ndarray:
        arguments.stored("LongLag", part, self.sizes())
        rng = np.random.default_rng([self.seed, part == "test"])
        return rng.integers(0, self.classes, self.sizes()[part], np.int32)

    def read(self, part: str) -> Examples:
        y = self.labels(part)
        x = np.zeros((len(y), self.lag + 1, self.classes + self.cycle), np.float32)
        x[np.arange(len(y)), 0, y] = 1
        steps = np.arange(self.lag)
        x[:, steps + 1, self.classes + steps % self.cycle] = 1
        return Examples(x, y)
