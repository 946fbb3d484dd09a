"""Fisher's irises, which come with scikit-learn."""

from __future__ import annotations

from typing import Any

import numpy as np

from dltool.data import arguments
from dltool.data.base import Dataset, Examples

COLUMNS = {"sepal_length": 0, "sepal_width": 1, "petal_length": 2, "petal_width": 3}  # in cm
CLASSES = ["setosa", "versicolor", "virginica"]
EACH = 50  # flowers of each species


class Iris(Dataset):
    """150 flowers of three species: x float32 (150, columns) in cm, y int32 (150,) in 0..2.

    The one stored part is "train". Two species: `data.classes: [setosa, versicolor]`.

    Args:
        columns: which measurements, a list of "sepal_length", "sepal_width", "petal_length", "petal_width". Defaults
            to all four.
    Raises:
        ValueError: if there is no such column.
    Limits: 150 examples; setosa is linearly separable from the others, versicolor and virginica are not.
    Reference: Fisher, 1936, The use of multiple measurements in taxonomic problems, Annals of Eugenics 7, 179-188.
    """

    def __init__(self, columns: list[str] | None = None):
        self.columns = list(COLUMNS) if columns is None else arguments.names("Iris", "columns", columns)
        for column in self.columns or [""]:
            arguments.choice("Iris", "columns", column, COLUMNS)

    def sizes(self) -> dict[str, int]:
        return {"train": EACH * len(CLASSES)}

    def facts(self) -> dict[str, Any]:
        return {
            "input_shape": (len(self.columns),),
            "num_classes": len(CLASSES),
            "class_names": list(CLASSES),
        }

    def labels(self, part: str) -> np.ndarray:
        arguments.stored("Iris", part, self.sizes())
        return np.repeat(np.arange(len(CLASSES), dtype=np.int32), EACH)

    def read(self, part: str) -> Examples:
        labels = self.labels(part)
        from sklearn.datasets import load_iris

        flowers = load_iris()
        if not np.array_equal(flowers.target, labels):
            raise ValueError("scikit-learn's irises are not 50 of each of three species, in order: reinstall it.")
        chosen = [COLUMNS[column] for column in self.columns]
        return Examples(flowers.data[:, chosen].astype(np.float32), labels)
