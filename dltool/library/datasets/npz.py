"""Arrays of a NumPy .npz file."""

from __future__ import annotations

import copy
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dltool.data import arguments
from dltool.data.base import SEVERAL, Dataset, Examples
from dltool.data.formats import npy_headers
from dltool.data.inputs.base import ARRAYS
from dltool.library.datasets._npz_arrays import NpzArrays
from dltool.library.datasets._npz_targets import NpzTargets


class Npz(Dataset):
    """Arrays x_train, y_train, and where present x_validation (x_valid, x_val), x_test and their y; or x, y.

    Integer y (or bool) is classification, y int32; float y is regression, y float32. y of shape (n, 1) of
    classes is read as (n,). y of shape (..., k) of zeros and ones, a single one in each row of k, is one-hot whatever
    its type: k classes. Integer y of shape (n, k) of zeros and ones otherwise is k labels that hold or do not, unless x
    has k steps an example, (n, k, ...), each of which then has a class of its own. x keeps its type. Upper and lower
    case are the same in names; other arrays are ignored, but for x_... and y_... where those are what is read.

    Several inputs or targets have names of their own: `{inputs: [image, table], targets: [class, number]}` reads
    image_train, table_train, class_train and number_train, or image, table, class and number. Each target is classes
    or numbers by itself. Layers name the inputs that they read, and the model's outputs are named after the targets.

    Args:
        path: the .npz file.
        inputs: names of the arrays that models take, one or a list. Defaults to x.
        targets: names of the arrays that models learn, one or a list. Defaults to y.
    Raises:
        FileNotFoundError: if `path` does not exist.
        ValueError: if a name is given twice; on reading, if arrays are missing, broken, hold objects or text, or
            differ in length.
    Limits: a part is read into memory whole; arrays of Python objects are refused since unpickling them
        could run code. Parts that are drawn keep no shares of classes where there are several targets.
    """

    new_examples = ARRAYS

    def __init__(
        self, path: str | os.PathLike, inputs: str | Sequence[str] = "x", targets: str | Sequence[str] = "y"
    ) -> None:
        self.path = arguments.existing("Npz", "path", path, "file")
        given = {"inputs": inputs, "targets": targets}
        names = {key: [value] if isinstance(value, str) else list(value) for key, value in given.items()}
        for key, value in names.items():
            arguments.names("Npz", key, value)
            if not value:
                raise arguments.wrong("Npz", key, "the name of an array, or several", given[key])
        every = [name.lower() for value in names.values() for name in value]
        for name in every:
            if every.count(name) > 1:
                raise ValueError(f"Npz: the array '{name}' is named twice in 'inputs' and 'targets': name it once.")
        self._arrays = NpzArrays(self.path, names["inputs"], names["targets"])
        self._targets = {name: NpzTargets(self._arrays, name) for name in names["targets"]}

    @property
    def task(self) -> str:  # type: ignore[override]
        """The task of the targets: classification where they are integers or one-hot, else regression; or several."""
        return SEVERAL if len(self._targets) > 1 else self._single.task

    def input_names(self) -> Sequence[str]:
        return self._arrays.inputs if len(self._arrays.inputs) > 1 else ()

    def target_names(self) -> Sequence[str]:
        return self._arrays.targets if len(self._targets) > 1 else ()

    def as_trained(self, facts: Mapping[str, Any]) -> Npz:
        twin = copy.copy(self)
        each = facts.get("targets", {}) if len(self._targets) > 1 else dict.fromkeys(self._targets, facts)
        twin._targets = {name: NpzTargets(self._arrays, name, each.get(name)) for name in self._targets}
        twin.is_trained = all(target.is_trained for target in twin._targets.values())
        return twin

    def sizes(self) -> dict[str, int]:
        headers = self._arrays.headers
        return {part: headers[next(iter(own.values()))][0][0] for part, own in self._arrays.keys.items()}

    def facts(self) -> dict[str, Any]:
        train = self._arrays.keys["train"]
        shapes = {name: tuple(self._arrays.headers[train[name]][0][1:]) for name in self._arrays.inputs}
        if len(shapes) > 1:
            facts: dict[str, Any] = {"inputs": {name: {"input_shape": shape} for name, shape in shapes.items()}}
        else:
            facts = {"input_shape": next(iter(shapes.values()))}
        if len(self._targets) > 1:
            return facts | {"targets": {name: {"task": t.task, **t.facts()} for name, t in self._targets.items()}}
        return facts | self._single.facts()

    def files(self) -> list[Path]:
        return [self.path]

    def labels(self, part: str) -> np.ndarray | dict[str, np.ndarray]:
        arguments.stored("Npz", part, self._arrays.keys)
        if len(self._targets) > 1:
            return {name: target.read(part) for name, target in self._targets.items()}
        return self._single.read(part)

    def read(self, part: str) -> Examples:
        keys = self._arrays.keys[arguments.stored("Npz", part, self._arrays.keys)]
        x = {name: npy_headers.array(self.path, keys[name]) for name in self._arrays.inputs}
        return Examples(x if len(x) > 1 else next(iter(x.values())), self.labels(part))

    def check_for_training(self) -> None:
        """Raise if the training part shows one class only."""
        for target in self._targets.values():
            target.check_for_training()

    @property
    def _single(self) -> NpzTargets:
        return next(iter(self._targets.values()))
