"""Symbols to repeat after a long pause."""

from __future__ import annotations

from typing import Any

import numpy as np

from dltool.data import arguments
from dltool.data.base import Dataset, Examples

BLANK = 0


class CopyTask(Dataset):
    """Symbols, a pause, a signal, and then the same symbols are to be given.

        x:  a b c _ _ _ _ ! _ _ _
        y:  _ _ _ _ _ _ _ _ a b c

    x is int32 (examples, pause + 2 * copied): symbols 1 to `symbols`, blanks 0 and, at the last step of the pause, the
    signal `symbols` + 1. y is int32 of the same shape, 0 to `symbols`. Whoever remembers nothing has at best a mean
    cross-entropy of copied * ln(symbols) / (pause + 2 * copied) nats a step.

    Args:
        pause: steps between the last symbol and the first answer, int > 0. Defaults to 100.
        copied: symbols a sequence, int > 0. Defaults to 10.
        symbols: different ones, int >= 2. Defaults to 8.
        examples: of the "train" part, int > 0. Defaults to 10,000.
        test_examples: of the "test" part, int > 0. Defaults to 1,000.
        seed: seed of the sequences, int >= 0. Defaults to 0.
    Raises:
        ValueError: if an argument is out of its range.
    Limits: an accuracy over all steps is high for whoever only gives blanks.
    Reference: Hochreiter & Schmidhuber, 1997; in this form Arjovsky, Shah & Bengio, 2016, arXiv:1511.06464, section
        4.1; lecture slide 135.
    """

    def __init__(
        self,
        pause: int = 100,
        copied: int = 10,
        symbols: int = 8,
        examples: int = 10_000,
        test_examples: int = 1000,
        seed: int = 0,
    ):
        self.pause = arguments.integer("CopyTask", "pause", pause, 1)
        self.copied = arguments.integer("CopyTask", "copied", copied, 1)
        self.symbols = arguments.integer("CopyTask", "symbols", symbols, 2)
        self.examples = arguments.integer("CopyTask", "examples", examples, 1)
        self.test_examples = arguments.integer("CopyTask", "test_examples", test_examples, 1)
        self.seed = arguments.integer("CopyTask", "seed", seed, 0)

    def sizes(self) -> dict[str, int]:
        return {"train": self.examples, "test": self.test_examples}

    def facts(self) -> dict[str, Any]:
        return {
            "input_shape": (self.pause + 2 * self.copied,),
            "input_dtype": "int32",
            "vocabulary_size": self.symbols + 2,
            "num_classes": self.symbols + 1,
        }

    def labels(self, part: str) -> np.ndarray:
        return self.read(part).y

    def read(self, part: str) -> Examples:
        arguments.stored("CopyTask", part, self.sizes())
        rng = np.random.default_rng([self.seed, part == "test"])
        size, steps = self.sizes()[part], self.pause + 2 * self.copied
        said = rng.integers(1, self.symbols + 1, (size, self.copied), np.int32)
        x, y = np.full((size, steps), BLANK, np.int32), np.full((size, steps), BLANK, np.int32)
        x[:, : self.copied] = said
        x[:, self.copied + self.pause - 1] = self.symbols + 1
        y[:, -self.copied :] = said
        return Examples(x, y)
