"""A model without its last layers."""

from __future__ import annotations

from typing import Any

import keras

from dltool.errors import suggest
from dltool.graph import keras_internals


def cut(model: Any, up_to: str | None, without_top: int, name: str | None = None) -> Any:
    """Return the layers of a model, the same objects, from its input up to one of them.

    Args:
        model: a Sequential or functional model of one input.
        up_to: the last layer kept, by its name, or by its path inside nested models ("base/dense_2"). None: by count.
        without_top: how many layers with weights to leave out, counted from the output backwards, each with all that
            follows it; a nested model counts as one.
        name: of the new model; by default the given one's.
    Raises:
        ValueError: the model is of another kind, has no such layer, or branches where it is to be cut by count.
    """
    graph = keras_internals.graph_of(model)
    if graph is None:
        raise ValueError(f"a {type(model).__name__} can't be cut: it is no Sequential or functional model.")
    if len(graph.inputs) != 1:
        raise ValueError(f"it takes {len(graph.inputs)} inputs, as of a table's columns: a base takes one.")
    output = graph.outputs[0] if up_to is None else _output_of(graph, up_to.split("/"))
    for left in range(without_top if up_to is None else 0):
        output = _before_weights(output, left)
    if output is graph.inputs[0]:
        raise ValueError("nothing of it is left: leave out fewer layers.")
    return keras.Model(graph.inputs[0], output, name=name or model.name)


def _output_of(graph: Any, path: list[str]) -> Any:
    """Return the tensor that a layer of a graph gives at its last call."""
    nodes = keras_internals.nodes(graph)
    found = [node for node in nodes if node.operation.name == path[0]]
    if not found:
        names = list(dict.fromkeys(node.operation.name for node in nodes))
        raise ValueError(f"it has no layer '{path[0]}'.{suggest(path[0], names)} It has: {', '.join(names)}.")
    node = found[-1]
    if len(path) == 1:
        return node.outputs[0]
    inner = keras_internals.graph_of(node.operation)
    if inner is None:
        raise ValueError(f"its layer '{path[0]}' is no model with layers inside. Give its name alone.")
    if len(inner.inputs) != 1:
        raise ValueError(f"its layer '{path[0]}' takes {len(inner.inputs)} inputs: give its name alone.")
    inside = keras.Model(inner.inputs[0], _output_of(inner, path[1:]), name=node.operation.name)
    return inside(node.input_tensors[0])


def _before_weights(tensor: Any, left: int) -> Any:
    """Return the tensor that the last layer with weights before a tensor takes."""
    while True:
        node = keras_internals.node_of(tensor)
        if node.is_input:
            raise ValueError(f"it has only {left} layers with weights to leave out.")
        if len(node.input_tensors) > 1:
            raise ValueError(f"paths meet in its layer '{node.operation.name}': say with up_to which layer to keep.")
        tensor = node.input_tensors[0]
        if getattr(node.operation, "weights", None):
            return tensor
