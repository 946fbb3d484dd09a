"""Which layers of a model learn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dltool.graph.layer_globs import check_globs, matches
from dltool.graph.layer_tree import CELL, LEAF, OPERATION, parts


def select_trainable(model: Any, globs: Sequence[str]) -> None:
    """Let the layers that a glob matches learn, and no others.

    Globs match by `dltool.graph.layer_globs`. A layer that does not learn keeps its weights, and in batch normalisation
    also its moving averages, by which it then normalises in training too (Keras's `trainable = False`).

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
    """Return the ids of the layers with weights that globs match.

    Raises:
        ValueError: as `select_trainable`.
    """
    known = [part for part in parts(model) if part.kind in (LEAF, CELL) and part.layer.weights]
    check_globs(globs, [part.path for part in known], "layer with weights")
    return {id(part.layer) for part in known if matches(part.path, globs)}
