"""Handwritten digits that come with scikit-learn: the dataset that needs no file."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np

from dltool.data import arguments
from dltool.data.base import Dataset, Examples

COLUMNS = 65  # of the file: 64 pixels and the digit
SIZE = 1797  # test part of the UCI set, as shipped by scikit-learn


class Digits(Dataset):
    """1,797 handwritten digits of 8 x 8 pixels: x uint8 (1797, 8, 8, 1) in 0..16, y int32 (1797,) in 0..9.

    The one stored part is "train".

    Raises:
        ValueError: on reading, if scikit-learn does not hold 1,797 digits.
    Limits: far easier than MNIST, and of 43 writers only; good for trying out, not for conclusions.
    Reference: Alpaydin & Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine Learning
        Repository, 1998.
    """

    pixel_range = (0, 16)

    def sizes(self) -> dict[str, int]:
        return {"train": SIZE}

    def facts(self) -> dict[str, Any]:
        return {
            "input_shape": (8, 8, 1),
            "num_classes": 10,
            "class_names": [str(digit) for digit in range(10)],
        }

    def labels(self, part: str) -> np.ndarray:
        arguments.stored("Digits", part, self.sizes())
        package = importlib.util.find_spec("sklearn")  # not imported: that takes longer than lr-schedule may
        file = Path(package.origin if package and package.origin else "/").parent / "datasets/data/digits.csv.gz"
        if not file.is_file():
            return self.read(part).y
        return np.loadtxt(file, delimiter=",", usecols=COLUMNS - 1).astype(np.int32)

    def read(self, part: str) -> Examples:
        arguments.stored("Digits", part, self.sizes())
        from sklearn.datasets import load_digits

        digits = load_digits()
        x = digits.images.astype(np.uint8)[..., np.newaxis]  # (examples, 8, 8, 1)
        if x.shape != (SIZE, 8, 8, 1):
            raise ValueError(f"scikit-learn's digits have shape {x.shape}, expected {(SIZE, 8, 8, 1)}: reinstall it.")
        return Examples(x, digits.target.astype(np.int32))
