"""Arrays of a NumPy .npz file."""

from __future__ import annotations

import copy
import math
import os
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from dltool.data import arguments
from dltool.data.base import Dataset, Examples
from dltool.data.formats import npy_headers
from dltool.errors import suggest_or_list

# Words for each part in the names of arrays, as in Keras's own files ("x_train", "y_test").
PARTS = {"train": ("train",), "validation": ("validation", "valid", "val"), "test": ("test",)}


class Npz(Dataset):
    """Arrays x_train, y_train, and where present x_validation (x_valid, x_val), x_test and their y; or x, y.

    Integer y (or bool) is classification, y int32; float y is regression, y float32. y of shape (n, 1) of
    classes is read as (n,). y of shape (..., k) of zeros and ones, a single one in each row of k, is one-hot whatever
    its type: k classes. Integer y of shape (n, k) of zeros and ones otherwise is k labels that hold or do not, unless x
    has k steps an example, (n, k, ...), each of which then has a class of its own. x keeps its type. Upper and lower
    case are the same in names; other arrays are ignored unless named x_... or y_....

    Args:
        path: the .npz file.
    Raises:
        FileNotFoundError: if `path` does not exist.
        ValueError: on reading, if arrays are missing, broken, hold objects or text, or differ in length.
    Limits: a part is read into memory whole; arrays of Python objects are refused since unpickling them
        could run code.
    """

    def __init__(self, path: str | os.PathLike):
        self.path = arguments.existing("Npz", "path", path, "file")
        self._trained_task: str | None = None

    @property
    def task(self) -> str:  # type: ignore[override]
        """ "classification" where y holds integers or is one-hot, else "regression"; as trained where that is known."""
        shape, dtype = self._headers[self._keys["train"][1]]
        if self._trained_task is not None:
            numbers = self._trained_task == "regression" or dtype.kind == "f" and np.any(self._y_train % 1 != 0)
            return "regression" if numbers else "classification"  # eval then says that the targets differ in kind
        return "classification" if dtype.kind != "f" or (len(shape) > 1 and self._columns) else "regression"

    def as_trained(self, facts: Mapping[str, Any]) -> Npz:
        twin = copy.copy(self)
        if "num_targets" in facts or "num_classes" in facts:
            twin._trained_task = "regression" if "num_targets" in facts else "classification"
            twin.is_trained = True
        return twin

    def sizes(self) -> dict[str, int]:
        return {part: self._headers[x][0][0] for part, (x, _) in self._keys.items()}

    def facts(self) -> dict[str, Any]:
        x, y = self._keys["train"]
        facts: dict[str, Any] = {"input_shape": tuple(self._headers[x][0][1:])}
        if self.task == "classification":
            facts["num_classes"] = self._num_classes
        else:
            facts["num_targets"] = math.prod(self._headers[y][0][1:])
        return facts

    def files(self) -> list[Path]:
        return [self.path]

    def labels(self, part: str) -> np.ndarray:
        key = self._keys[arguments.stored("Npz", part, self._keys)][1]
        y = self._targets(key)
        if self.task == "regression":
            if not np.isfinite(y).all():
                raise ValueError(f"{self.path}: '{key}' holds NaN or infinite targets: remove those examples.")
            return y.astype(np.float32)
        if y.dtype.kind == "f" and not np.array_equal(y, np.floor(y)):
            whose = "the run's" if self.is_trained else "the other"
            raise ValueError(f"{self.path}: '{key}' holds {y[y != np.floor(y)].flat[0]}, {whose} targets are classes.")
        if y.dtype.kind == "f" and not self.is_trained and not (_is_one_hot(y) and y.shape[-1] == self._columns):
            raise ValueError(
                f"{self.path}: '{key}' is not one-hot, but '{self._keys['train'][1]}' is: make them alike."
            )
        if y.size and int(y.min()) < 0:
            raise ValueError(f"{self.path}: '{key}' holds the class {int(y.min())}: number classes from 0.")
        if y.size and int(y.max()) > np.iinfo(np.int32).max:
            raise ValueError(f"{self.path}: '{key}' holds the class {int(y.max())}: number classes from 0.")
        return (y.reshape(-1) if y.shape[1:] == (1,) else y).astype(np.int32)

    def read(self, part: str) -> Examples:
        key = self._keys[arguments.stored("Npz", part, self._keys)][0]
        return Examples(npy_headers.array(self.path, key), self.labels(part))

    def _targets(self, key: str) -> np.ndarray:
        """Return an array y as it is stored; that of the training part is read once."""
        return self._y_train if key == self._keys["train"][1] else npy_headers.array(self.path, key)

    @cached_property
    def _y_train(self) -> np.ndarray:
        return npy_headers.array(self.path, self._keys["train"][1])

    @cached_property
    def _columns(self) -> int | None:
        """The number of columns of y that stand for one class each; None where its values number the classes."""
        y, (x_shape, x_dtype) = self._y_train, self._headers[self._keys["train"][0]]
        if y.ndim < 2 or y.shape[-1] < 2 or not ((y == 0) | (y == 1)).all():
            return None
        if y.ndim == 2:
            has_steps = x_shape[1:2] == y.shape[1:] and (len(x_shape) > 2 or x_dtype.kind != "f")
            is_coded = _is_one_hot(y) or (y.dtype.kind != "f" and not has_steps)
        else:  # of each step or pixel
            is_coded = _is_one_hot(y) and y.shape[1:-1] == x_shape[1 : y.ndim - 1] and y.shape != x_shape
            is_coded = is_coded and len(x_shape) - y.ndim in (-1, 0)
        return int(y.shape[-1]) if is_coded else None

    def check_for_training(self) -> None:
        """Raise if the training part shows one class only."""
        if self.task == "regression":
            return
        y, key = self.labels("train"), self._keys["train"][1]
        shown = np.unique(y.argmax(axis=-1) if self._columns and _is_one_hot(y) else y)
        if len(shown) == 1:
            raise ValueError(
                f"{self.path}: '{key}' shows one class only, {shown[0]}, at least 2 are needed: add examples of others."
            )

    @cached_property
    def _num_classes(self) -> int:
        if self._columns:
            return self._columns
        return 1 + max(int(self.labels(part).max()) for part in self._keys)

    @cached_property
    def _headers(self) -> dict[str, tuple[tuple[int, ...], np.dtype]]:
        return npy_headers.headers(self.path)

    @cached_property
    def _keys(self) -> dict[str, tuple[str, str]]:
        """The names of x and y of each stored part, checked against each other."""
        held = {key.lower(): key for key in self._headers}
        for key in self._headers:
            if held[key.lower()] != key:
                raise ValueError(f"{self.path} holds both '{key}' and '{held[key.lower()]}': keep one.")
        keys = {"train": ("x", "y")} if "x" in held and "x_train" not in held else {}
        for part, words in PARTS.items():
            found = [word for word in words if f"x_{word}" in held or f"y_{word}" in held]
            if len(found) > 1:
                raise ValueError(
                    f"{self.path} holds the {part} part twice, as {' and '.join('x_' + w for w in found)}: keep one."
                )
            if found:
                keys[part] = (f"x_{found[0]}", f"y_{found[0]}")
        if "train" not in keys:
            raise ValueError(
                f"{self.path} holds no 'x_train' and 'y_train' (nor 'x' and 'y'), but "
                f"{', '.join(held.values()) or 'nothing'}: save it with numpy.savez(path, x_train=..., y_train=...)."
            )
        known = {key for pair in keys.values() for key in pair}
        for key in held:
            if key.startswith(("x_", "y_")) and key not in known:
                key = held[key]
                raise ValueError(f"{self.path}: unknown array '{key}'.{suggest_or_list(key, _all_keys())}")
        keys = {part: (held.get(x, x), held.get(y, y)) for part, (x, y) in keys.items()}
        for x, y in keys.values():
            self._check(x, y, *keys["train"])
        return keys

    def _check(self, x: str, y: str, x_train: str, y_train: str) -> None:
        for key in (x, y):
            if key not in self._headers:
                raise ValueError(f"{self.path} holds no array '{key}' beside '{x if key == y else y}': add it.")
            shape, dtype = self._headers[key]
            if dtype.kind not in "biuf":
                raise ValueError(f"{self.path}: '{key}' holds {dtype} values, not numbers: save a numeric array.")
            if not shape or not shape[0]:
                raise ValueError(f"{self.path}: '{key}' has shape {shape}, no examples: its first axis counts them.")
        n_x, n_y = self._headers[x][0][0], self._headers[y][0][0]
        if n_x != n_y:
            raise ValueError(f"{self.path}: '{x}' has {n_x} examples but '{y}' has {n_y}: make them equal.")
        for key, train in ((x, x_train), (y, y_train)):
            (shape, dtype), (train_shape, train_dtype) = self._headers[key], self._headers[train]
            if shape[1:] != train_shape[1:]:
                raise ValueError(
                    f"{self.path}: an example of '{key}' has shape {shape[1:]}, of '{train}' "
                    f"{train_shape[1:]}: "
                    "make them equal."
                )
            if (dtype.kind == "f") != (train_dtype.kind == "f") and key == y:
                raise ValueError(f"{self.path}: '{key}' is {dtype} but '{train}' is {train_dtype}: make them equal.")


def _is_one_hot(y: np.ndarray) -> bool:
    """Return whether the last axis has zeros and a single one."""
    return y.ndim > 1 and y.shape[-1] > 1 and bool(((y == 0) | (y == 1)).all() and (y.sum(axis=-1) == 1).all())


def _all_keys() -> list[str]:
    return ["x", "y"] + [f"{v}_{word}" for words in PARTS.values() for word in words for v in "xy"]
