"""The layers inside a model, each by its path."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

import keras

from dltool.errors import suggest

LEAF, CELL, COMPOSITE, LOOP, MODEL, OPERATION = "leaf", "cell", "composite", "loop", "model", "operation"


@dataclass(frozen=True, eq=False)
class Part:
    """A layer of a model.

    Args:
        layer: the Keras layer or operation.
        path: names from the outermost layer inwards, such as "encoder/dense_3".
        kind: LEAF (computes by itself), CELL (one time step of a recurrent layer), LOOP (calls another layer many
            times: recurrent layers and TimeDistributed), COMPOSITE (a layer of layers), MODEL (a Sequential or
            functional model, whose tensors pass from layer to layer untouched) or OPERATION (a keras.ops node).
    """

    layer: Any
    path: str
    kind: str


def parts(model: Any) -> list[Part]:
    """Every layer below a model once, in the order of construction; a shared layer by its first path."""
    found: list[Part] = []
    seen: set[int] = set()
    _walk(model, "", found, seen)
    return found


def check_selection(patterns: Sequence[str], known: Sequence[Part]) -> None:
    """Raise if a pattern selects nothing.

    Raises:
        ValueError: with the nearest names.
    """
    paths = [part.path for part in known if part.kind in (LEAF, CELL)]
    for pattern in patterns:
        if not any(selected(path, [pattern]) for path in paths):
            names = sorted({name for path in paths for name in (path, path.rpartition("/")[2])})
            hint = suggest(pattern.strip("*?"), names) or f" It has: {', '.join(paths)}."
            raise ValueError(f"no layer matches '{pattern}'.{hint}")


def selected(path: str, patterns: Sequence[str]) -> bool:
    """Whether a glob matches the path or its last name; without patterns everything is selected."""
    path = path.partition(" ")[0]  # "dense (2)" is the second call of dense
    names = (path, path.rpartition("/")[2])
    return not patterns or any(fnmatchcase(name, pattern) for name in names for pattern in patterns)


def is_model(layer: Any) -> bool:
    """Whether a layer only passes tensors between its layers: a Sequential or a functional model."""
    return isinstance(layer, keras.Sequential) or (isinstance(layer, keras.Model) and hasattr(layer, "_operations"))


def own_weights(layer: Any) -> list[Any]:
    """Weights that a layer holds itself, those of its layers left out."""
    inner = {id(weight) for child in children(layer) for weight in child.weights}
    return [weight for weight in layer.weights if id(weight) not in inner]


def children(layer: Any) -> list[Any]:
    if isinstance(layer, keras.Model):
        return [child for child in layer.layers if not isinstance(child, keras.layers.InputLayer)]
    return list(layer._flatten_layers(include_self=False, recursive=False))


def _walk(layer: Any, prefix: str, found: list[Part], seen: set[int], recurrent: str = "") -> None:
    for child in children(layer):
        if id(child) in seen:
            continue
        seen.add(id(child))
        path = prefix + child.name
        inner = children(child)
        cell = recurrent and hasattr(child, "state_size") and not inner
        if cell:
            single = not isinstance(layer, keras.layers.StackedRNNCells)
            found.append(Part(child, recurrent if single else f"{recurrent}/{child.name}", CELL))
            continue
        if isinstance(child, keras.layers.RNN | keras.layers.TimeDistributed):
            found.append(Part(child, path, LOOP))
            is_rnn = isinstance(child, keras.layers.RNN)
            _walk(child, f"{path}/", found, seen, path if is_rnn else "")
            continue
        if inner and not own_weights(child):
            found.append(Part(child, path, MODEL if is_model(child) else COMPOSITE))
        else:
            found.append(Part(child, path, LEAF))
        _walk(child, f"{path}/", found, seen, recurrent)
    for operation in getattr(layer, "_operations", ()) if is_model(layer) else ():
        if not isinstance(operation, keras.Layer) and id(operation) not in seen:
            seen.add(id(operation))
            found.append(Part(operation, prefix + operation.name, OPERATION))


def holders(known: Sequence[Part]) -> dict[int, Part]:
    """id of a weight -> the innermost layer that holds it."""
    owners: dict[int, Part] = {}
    for part in known:
        if part.kind not in (LOOP, MODEL, OPERATION):
            owners.update({id(weight): part for weight in own_weights(part.layer)})
    return owners
