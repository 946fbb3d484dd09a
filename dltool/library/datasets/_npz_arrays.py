"""Which arrays of an .npz file are the inputs and targets of each part, checked against each other."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np

from dltool.data.formats import npy_headers
from dltool.errors import suggest_or_list

# Words for each part in the names of arrays, as in Keras's own files ("x_train", "y_test").
PARTS = {"train": ("train",), "validation": ("validation", "valid", "val"), "test": ("test",)}
PLAIN = ("x", "y")  # names that an array has but for a word of its part


class NpzArrays:
    """The arrays of an .npz file by part and name; nothing but their headers is read.

    Args:
        path: the file.
        inputs, targets: names of arrays without the words of parts.
    """

    def __init__(self, path: Path, inputs: Sequence[str], targets: Sequence[str]) -> None:
        self.path, self.inputs, self.targets = path, list(inputs), list(targets)
        self.names = [*inputs, *targets]

    @cached_property
    def headers(self) -> dict[str, tuple[tuple[int, ...], np.dtype]]:
        """Shape and type of each array of the file."""
        return npy_headers.headers(self.path)

    @cached_property
    def keys(self) -> dict[str, dict[str, str]]:
        """Part -> name -> the array's key in the file.

        Raises:
            ValueError: arrays are missing, there twice, or do not go together.
        """
        held = {key.lower(): key for key in self.headers}
        for key in self.headers:
            if held[key.lower()] != key:
                raise ValueError(f"{self.path} holds both '{key}' and '{held[key.lower()]}': keep one.")
        first = self.names[0].lower()
        keys = {"train": {name: name for name in self.names}} if first in held and f"{first}_train" not in held else {}
        for part, words in PARTS.items():
            present = [word for word in words if any(f"{name.lower()}_{word}" in held for name in self.names)]
            if len(present) > 1:
                both = " and ".join(f"{self.names[0]}_{word}" for word in present)
                raise ValueError(f"{self.path} holds the {part} part twice, as {both}: keep one.")
            if present:
                keys[part] = {name: f"{name}_{present[0]}" for name in self.names}
        if "train" not in keys:
            raise ValueError(self._nothing_to_train_on(list(held.values())))
        self._check_unknown(held, keys)
        keys = {part: {name: held.get(key.lower(), key) for name, key in own.items()} for part, own in keys.items()}
        for own in keys.values():
            self._check(own, keys["train"])
        return keys

    def _nothing_to_train_on(self, held: Sequence[str]) -> str:
        wanted = " and ".join(f"'{name}_train'" for name in self.names)
        short = " and ".join(f"'{name}'" for name in self.names)
        call = ", ".join(f"{name}_train=..." for name in self.names)
        return (
            f"{self.path} holds no {wanted} (nor {short}), but {', '.join(held) or 'nothing'}: "
            f"save it with numpy.savez(path, {call})."
        )

    def _check_unknown(self, held: dict[str, str], keys: dict[str, dict[str, str]]) -> None:
        """Raise for an array that is named like inputs or targets but belongs to no part."""
        known = {key.lower() for own in keys.values() for key in own.values()}
        possible = [f"{name}_{word}" for words in PARTS.values() for word in words for name in PLAIN]
        for key in held:
            if self.names == list(PLAIN) and key.startswith(tuple(f"{name}_" for name in PLAIN)) and key not in known:
                raise ValueError(
                    f"{self.path}: unknown array {held[key]!r}.{suggest_or_list(held[key], [*PLAIN, *possible])}"
                )

    def _check(self, own: dict[str, str], train: dict[str, str]) -> None:
        for key in own.values():
            if key not in self.headers:
                beside = next((other for other in own.values() if other in self.headers), "them")
                raise ValueError(f"{self.path} holds no array '{key}' to match '{beside}': add it.")
            shape, dtype = self.headers[key]
            if dtype.kind not in "biuf":
                raise ValueError(f"{self.path}: '{key}' holds {dtype} values, not numbers: save a numeric array.")
            if not shape or not shape[0]:
                raise ValueError(f"{self.path}: '{key}' has shape {shape}, no examples: its first axis counts them.")
        first, *others = own.values()
        for key in others:
            n, m = self.headers[first][0][0], self.headers[key][0][0]
            if n != m:
                raise ValueError(f"{self.path}: '{first}' has {n} examples but '{key}' has {m}: make them equal.")
        for name, key in own.items():
            (shape, dtype), (train_shape, train_dtype) = self.headers[key], self.headers[train[name]]
            if shape[1:] != train_shape[1:]:
                raise ValueError(
                    f"{self.path}: an example of '{key}' has shape {shape[1:]}, of '{train[name]}' "
                    f"{train_shape[1:]}: make them equal."
                )
            if (dtype.kind == "f") != (train_dtype.kind == "f") and name in self.targets:
                raise ValueError(
                    f"{self.path}: '{key}' is {dtype} but '{train[name]}' is {train_dtype}: make them equal."
                )
