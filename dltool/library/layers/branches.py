"""Parallel paths."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from dltool.library.layers._wiring import Composite, apply, checked, copied

MERGES = ("concatenate", "add", "average", "multiply", "maximum")
LAYER_ARGUMENTS = ("branches",)  # read by recipe/declarations.py


class Branches(Composite):
    """Parallel paths over the same input, merged: y = merge(path_1(x), ..., path_n(x)).

    Args:
        branches: lists of layers; an empty list is the identity.
        merge: "concatenate" (along the last axis), "add", "average", "multiply" or "maximum".
    Input shape: any that every path takes.
    Output shape: that of the paths; of concatenated ones, the last axes' sum.
    Raises:
        ValueError: fewer than two branches, an unknown merge, or shapes that cannot be merged.
    Reference: Szegedy et al., 2015, Going deeper with convolutions, figure 2 (the inception module).
    """

    def __init__(self, branches: Sequence[Sequence[Any]], merge: str = "concatenate") -> None:
        if not isinstance(branches, list | tuple) or len(branches) < 2:
            raise ValueError(
                f"The 'branches' parameter of Branches must be two or more lists of layers. Got {branches!r}."
            )
        if merge not in MERGES:
            raise ValueError(f"The 'merge' parameter of Branches must be one of {', '.join(MERGES)}. Got {merge!r}.")
        self.branches = [checked("Branches", f"branches[{i}]", path) for i, path in enumerate(branches)]
        self.merge = merge

    def __call__(self, x: Any) -> Any:
        outputs = [apply(path, x, "branches", number) for number, path in enumerate(self.branches)]
        shapes = [tuple(y.shape[1:]) for y in outputs]
        if len({shape[:-1] if self.merge == "concatenate" else shape for shape in shapes}) > 1:
            raise ValueError(f"Branches cannot {self.merge} outputs of shapes {', '.join(map(str, shapes))}.")
        return getattr(keras.layers, self.merge.capitalize())()(outputs)

    def copy(self) -> Branches:
        return Branches([copied(path) for path in self.branches], self.merge)
