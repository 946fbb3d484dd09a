"""Two marked numbers of a long sequence, to be added at its end."""

from __future__ import annotations

from typing import Any

import numpy as np

from dltool.data import arguments
from dltool.data.base import Dataset, Examples


class AddingProblem(Dataset):
    """Sequences of numbers of which two are marked; the target is their sum.

    Each step holds a number from U(0, 1) and a mark, 1 at one place of the first half and at one of the second, else 0.
    x is float32 (examples, length, 2), y float32 (examples,). Whoever always answers 1 has a mean squared error of 1/6;
    less needs a memory of about length / 2 steps.

    Args:
        length: steps of a sequence, int >= 2. Defaults to 100.
        examples: of the "train" part, int > 0. Defaults to 10,000.
        test_examples: of the "test" part, int > 0. Defaults to 1,000.
        seed: seed of the sequences, int >= 0. Defaults to 0.
    Raises:
        ValueError: if an argument is out of its range.
    Limits: all sequences have one length.
    Reference: Hochreiter & Schmidhuber, 1997, Neural Computation 9(8), experiment 4; in this form Le, Jaitly & Hinton,
        2015, arXiv:1504.00941, section 4.1; lecture slide 135.
    """

    task = "regression"

    def __init__(self, length: int = 100, examples: int = 10_000, test_examples: int = 1000, seed: int = 0):
        self.length = arguments.integer("AddingProblem", "length", length, 2)
        self.examples = arguments.integer("AddingProblem", "examples", examples, 1)
        self.test_examples = arguments.integer("AddingProblem", "test_examples", test_examples, 1)
        self.seed = arguments.integer("AddingProblem", "seed", seed, 0)

    def sizes(self) -> dict[str, int]:
        return {"train": self.examples, "test": self.test_examples}

    def facts(self) -> dict[str, Any]:
        return {"input_shape": (self.length, 2), "num_targets": 1}

    def labels(self, part: str) -> np.ndarray:
        return self.read(part).y

    def read(self, part: str) -> Examples:
        arguments.stored("AddingProblem", part, self.sizes())
        rng = np.random.default_rng([self.seed, part == "test"])
        size, half = self.sizes()[part], self.length // 2
        numbers, marks = rng.random((size, self.length), np.float32), np.zeros((size, self.length), np.float32)
        rows = np.arange(size)
        marks[rows, rng.integers(0, half, size)] = 1
        marks[rows, rng.integers(half, self.length, size)] = 1
        return Examples(np.stack([numbers, marks], axis=-1), (numbers * marks).sum(axis=1))
