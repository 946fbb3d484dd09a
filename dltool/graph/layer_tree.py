"""The layers inside a model, each by its path."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras

from dltool.graph import keras_internals

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
    """Return every layer below a model once, in the order of construction; a shared layer by its first path."""
    found: list[Part] = []
    seen: set[int] = set()
    _walk(model, "", found, seen)
    return found


def is_model(layer: Any) -> bool:
    """Return whether a layer only passes tensors between its layers: a Sequential or a functional model."""
    return isinstance(layer, keras.Sequential) or (
        isinstance(layer, keras.Model) and keras_internals.operations(layer) is not None
    )


def own_weights(layer: Any) -> list[Any]:
    """Return the weights that a layer holds itself, without those of its layers."""
    inner = {id(weight) for child in children(layer) for weight in child.weights}
    return [weight for weight in layer.weights if id(weight) not in inner]


def children(layer: Any) -> list[Any]:
    """Return the layers that a layer or model holds directly, without input layers."""
    if isinstance(layer, keras.Model):
        return [child for child in layer.layers if not isinstance(child, keras.layers.InputLayer)]
    return keras_internals.inner_layers(layer, recursive=False)


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
    for operation in (keras_internals.operations(layer) or ()) if is_model(layer) else ():
        if not isinstance(operation, keras.Layer) and id(operation) not in seen:
            seen.add(id(operation))
            found.append(Part(operation, prefix + operation.name, OPERATION))


def holders(known: Sequence[Part]) -> dict[int, Part]:
    """Return, by the id of each weight, the innermost layer that holds it."""
    owners: dict[int, Part] = {}
    for part in known:
        if part.kind not in (LOOP, MODEL, OPERATION):
            owners.update({id(weight): part for weight in own_weights(part.layer)})
    return owners
