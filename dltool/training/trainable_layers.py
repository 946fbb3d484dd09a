"""Which layers of a model learn."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Any

from dltool.errors import suggest
from dltool.graph.layer_tree import CELL, LEAF, OPERATION, Part, parts


def select_trainable(model: Any, globs: Sequence[str]) -> None:
    """Let the layers that a glob matches learn, and no others.

    A glob is matched against each layer's name and path ("base/conv2d"), and those of the models that hold it. A layer
    that does not learn keeps its weights, and in batch normalisation also its moving averages, by which it then
    normalises in training too (Keras's `trainable = False`).

    Raises:
        ValueError: a glob matches no layer that has weights; the layers are listed.
    """
    chosen = chosen_layers(model, globs)
    model.trainable = True
    for part in parts(model):
        if part.kind in (LEAF, CELL):
            part.layer.trainable = id(part.layer) in chosen
        elif part.kind != OPERATION:
            part.layer.trainable = True  # a model or wrapper whose flag is off hides all that is inside


def chosen_layers(model: Any, globs: Sequence[str]) -> set[int]:
    """The ids of the layers with weights that globs match.

    Raises:
        ValueError: as `select_trainable`.
    """
    known = [part for part in parts(model) if part.kind in (LEAF, CELL) and part.layer.weights]
    chosen: set[int] = set()
    for glob in globs:
        matched = {id(part.layer) for part in known if _matches(part, glob)}
        if not matched:
            paths = [part.path for part in known]
            hint = suggest(glob.strip("*?"), paths)
            raise ValueError(f"no layer with weights matches '{glob}'.{hint} It has: {', '.join(paths)}.")
        chosen |= matched
    return chosen


def _matches(part: Part, glob: str) -> bool:
    names = part.path.split("/")
    above = ["/".join(names[: depth + 1]) for depth in range(len(names))]
    return any(fnmatchcase(name, glob) for name in (*names, *above))
