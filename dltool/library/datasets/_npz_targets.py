"""The targets of one name in an .npz file: classes or numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np

from dltool.data.formats import npy_headers
from dltool.library.datasets._npz_arrays import NpzArrays

CLASSES, NUMBERS = "classification", "regression"


class NpzTargets:
    """Targets of one name, in parts.

    Args:
        arrays: of the file.
        name: the targets' name.
        trained: facts of these targets as a run has them, None where they are inferred.
    """

    def __init__(self, arrays: NpzArrays, name: str, trained: Mapping[str, Any] | None = None) -> None:
        self.arrays, self.path, self.name = arrays, arrays.path, name
        self._trained_task: str | None = None
        if trained is not None and ("num_targets" in trained or "num_classes" in trained):
            self._trained_task = NUMBERS if "num_targets" in trained else CLASSES

    @property
    def is_trained(self) -> bool:
        """Return whether targets are read as those of a run."""
        return self._trained_task is not None

    @property
    def task(self) -> str:
        """CLASSES where they are integers or one-hot, else NUMBERS; as trained where that is known."""
        shape, dtype = self.arrays.headers[self._key("train")]
        if self._trained_task is not None:
            numbers = self._trained_task == NUMBERS or dtype.kind == "f" and np.any(self._train % 1 != 0)
            return NUMBERS if numbers else CLASSES  # eval then says that the targets differ in kind
        return CLASSES if dtype.kind != "f" or (len(shape) > 1 and self._columns) else NUMBERS

    def facts(self) -> dict[str, Any]:
        """Return the number of classes, and whether several may hold; or the number of numbers."""
        if self.task == CLASSES:
            several = self._columns is not None and not _is_one_hot(self._train)
            return {"num_classes": self._num_classes} | ({"multi_label": True} if several else {})
        return {"num_targets": math.prod(self.arrays.headers[self._key("train")][0][1:])}

    def read(self, part: str) -> np.ndarray:
        """Return the targets of a part: classes as int32, numbers as float32."""
        key = self._key(part)
        y = self._train if key == self._key("train") else npy_headers.array(self.path, key)
        if self.task == NUMBERS:
            if not np.isfinite(y).all():
                raise ValueError(f"{self.path}: '{key}' holds NaN or infinite targets: remove those examples.")
            return y.astype(np.float32)
        if y.dtype.kind == "f" and not np.array_equal(y, np.floor(y)):
            whose = "the run's" if self.is_trained else "the other"
            raise ValueError(f"{self.path}: '{key}' holds {y[y != np.floor(y)].flat[0]}, {whose} targets are classes.")
        if y.dtype.kind == "f" and not self.is_trained and not (_is_one_hot(y) and y.shape[-1] == self._columns):
            raise ValueError(f"{self.path}: '{key}' is not one-hot, but '{self._key('train')}' is: make them alike.")
        for extreme in (y.min, y.max) if y.size else ():
            if not 0 <= int(extreme()) <= np.iinfo(np.int32).max:
                raise ValueError(f"{self.path}: '{key}' holds the class {int(extreme())}: number classes from 0.")
        return (y.reshape(-1) if y.shape[1:] == (1,) else y).astype(np.int32)

    def check_for_training(self) -> None:
        """Raise `ValueError` if the training part shows one class only."""
        if self.task == NUMBERS:
            return
        y, key = self.read("train"), self._key("train")
        shown = np.unique(y.argmax(axis=-1) if self._columns and _is_one_hot(y) else y)
        if len(shown) == 1:
            raise ValueError(
                f"{self.path}: '{key}' shows one class only, {shown[0]}, at least 2 are needed: add examples of others."
            )

    def _key(self, part: str) -> str:
        return self.arrays.keys[part][self.name]

    @cached_property
    def _train(self) -> np.ndarray:
        return npy_headers.array(self.path, self._key("train"))

    @cached_property
    def _columns(self) -> int | None:
        """The number of columns that stand for one class each; None where values number the classes."""
        y = self._train
        if y.ndim < 2 or y.shape[-1] < 2 or not ((y == 0) | (y == 1)).all():
            return None
        inputs = [self.arrays.headers[self.arrays.keys["train"][name]] for name in self.arrays.inputs]
        if y.ndim == 2:
            has_steps = any(s[1:2] == y.shape[1:] and (len(s) > 2 or dtype.kind != "f") for s, dtype in inputs)
            return int(y.shape[-1]) if _is_one_hot(y) or (y.dtype.kind != "f" and not has_steps) else None
        # of each step or pixel
        fits = any(
            y.shape[1:-1] == s[1 : y.ndim - 1] and y.shape != s and len(s) - y.ndim in (-1, 0) for s, _ in inputs
        )
        return int(y.shape[-1]) if fits and _is_one_hot(y) else None

    @cached_property
    def _num_classes(self) -> int:
        return self._columns or 1 + max(int(self.read(part).max()) for part in self.arrays.keys)


def _is_one_hot(y: np.ndarray) -> bool:
    """Return whether the last axis has zeros and a single one."""
    return y.ndim > 1 and y.shape[-1] > 1 and bool(((y == 0) | (y == 1)).all() and (y.sum(axis=-1) == 1).all())
