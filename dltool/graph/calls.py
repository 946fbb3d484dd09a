"""The layers of a model in the order in which they are called, nested models opened."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import keras

Shape = tuple[int | None, ...]


@dataclass(frozen=True)
class Call:
    """One call of a layer; a layer that is shared has several.

    Args:
        path: the layer's name below the names of the models that hold it: "encoder/conv2d_3".
        layer: the layer.
        sources: for each input tensor the number of the call that gave it, None for an input of the model.
        input_shapes, output_shapes: with the batch axis, as None.
        first: whether it is the layer's first call; its parameters count once.
        output_types: names of the outputs' types, such as "float32".
    """

    path: str
    layer: Any
    sources: tuple[int | None, ...]
    input_shapes: tuple[Shape, ...]
    output_shapes: tuple[Shape, ...]
    first: bool
    output_types: tuple[str, ...] = ()


def calls(model: Any) -> list[Call]:
    """The calls of a Sequential or functional model, inputs before what needs them; input layers are left out.

    Raises:
        ValueError: the model is of another kind, so that its graph is not known.
    """
    found: list[Call] = []
    graph = _graph(model)
    if graph is None:
        raise ValueError(
            f"The graph of a {type(model).__name__} is not known: it is no Sequential or functional model."
        )
    _visit(graph, "", dict.fromkeys(map(id, graph.inputs)), found, set())
    return found


def _visit(graph: Any, prefix: str, origins: Mapping[int, int | None], found: list[Call], seen: set[int]) -> list[Any]:
    """Append the calls of a graph; the origins of its outputs."""
    known = dict(origins)  # id of a symbolic tensor -> number of the call that gave it
    for depth in sorted(graph._nodes_by_depth, reverse=True):
        for node in graph._nodes_by_depth[depth]:
            if node.is_input:
                continue
            layer = node.operation
            sources = [known[id(tensor)] for tensor in node.input_tensors]
            inner = _graph(layer)
            path = f"{prefix}{layer.name}"
            if inner is not None:
                inside = dict(zip(map(id, inner.inputs), sources, strict=True))
                outputs = _visit(inner, f"{path}/", inside, found, seen)
                known |= dict(zip(map(id, node.outputs), outputs, strict=True))
                continue
            found.append(
                Call(
                    path,
                    layer,
                    tuple(sources),
                    _shapes(node.input_tensors),
                    _shapes(node.outputs),
                    id(layer) not in seen,
                    tuple(str(tensor.dtype) for tensor in node.outputs),
                )
            )
            seen.add(id(layer))
            known |= dict.fromkeys(map(id, node.outputs), len(found) - 1)
    return [known[id(tensor)] for tensor in graph.outputs]


def _graph(layer: Any) -> Any | None:
    """The graph of a model or nested model, None of a layer."""
    if isinstance(layer, keras.Sequential):
        return layer._functional
    return layer if isinstance(layer, keras.Function) or hasattr(layer, "_nodes_by_depth") else None


def _shapes(tensors: Any) -> tuple[Shape, ...]:
    return tuple(tuple(tensor.shape) for tensor in tensors)
