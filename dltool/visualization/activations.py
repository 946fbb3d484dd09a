"""What layers inside a model give."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import keras
import tensorflow as tf

from dltool.diagnostics.calls import calls


class Activations:
    """The values of some layers for a batch of images, by default without their own nonlinearity: y = W x + b, not f(y).

    So a unit whose nonlinearity is saturated or off still has a gradient, and of a classifier's last layer these are
    the logits. Further layers get f(y) as always. Nested models are opened; the model is left as it is.

    Args:
        model: a built Sequential or functional model of one input.
        paths: of layers, as `diagnostics.calls` gives them; of a shared layer the first call counts.
        nonlinear: give f(y) all the same.
        rectify: takes the place of every ReLU, such as one with another gradient. None: as it is.
    Raises:
        ValueError: an unknown path, or a model whose graph is not known.
    """

    def __init__(
        self,
        model: Any,
        paths: Sequence[str],
        nonlinear: bool = False,
        rectify: Callable[[tf.Tensor], tf.Tensor] | None = None,
    ) -> None:
        found = {call.path: call for call in reversed(calls(model))}
        unknown = [path for path in paths if path not in found]
        if unknown:
            raise ValueError(f"The model has no layer {unknown[0]}.")
        self.model, self.paths, self.nonlinear, self.rectify = model, list(paths), nonlinear, rectify
        self.layers = [found[path].layer for path in paths]
        self.shapes = [found[path].output_shapes[0] for path in paths]

    def __call__(self, x: tf.Tensor) -> list[tf.Tensor]:
        """Float32 (batch, ..., units) for each path; `x` are (batch, ...) images as the model takes them."""
        values: dict[str, tf.Tensor] = {}
        graph = _graph(self.model)
        self._run(graph, "", {id(graph.inputs[0]): x}, values)
        return [tf.cast(values[path], tf.float32) for path in self.paths]

    def _run(self, graph: Any, prefix: str, tensors: dict[int, Any], values: dict[str, tf.Tensor]) -> bool:
        """Compute the graph until all values are there; whether they are."""
        for depth in sorted(graph._nodes_by_depth, reverse=True):
            for node in graph._nodes_by_depth[depth]:
                if node.is_input:
                    continue
                layer, path = node.operation, f"{prefix}{node.operation.name}"
                arguments, keywords = node.arguments.fill_in(tensors)
                inner = _graph(layer)
                if inner is not None:
                    given = keras.tree.flatten((arguments, keywords))
                    inside = dict(zip(map(id, inner.inputs), given, strict=False))
                    if self._run(inner, f"{path}/", inside, values):
                        return True
                    outputs = [inside[id(tensor)] for tensor in inner.outputs]
                else:
                    outputs = keras.tree.flatten(self._call(path, layer, arguments, keywords, values))
                tensors.update(zip(map(id, node.outputs), outputs, strict=True))
                if len(values) == len(set(self.paths)):
                    return True
        return False

    def _call(
        self, path: str, layer: Any, arguments: Any, keywords: Mapping[str, Any], values: dict[str, tf.Tensor]
    ) -> Any:
        if getattr(layer, "_call_has_training_arg", False):
            keywords = {**keywords, "training": False}
        wanted = path in self.paths and path not in values
        activation = layer.activation if _is_linear_then_activation(layer) else None
        if activation is None:
            result = self._rectified(layer, arguments, keywords)
            if wanted:
                values[path] = result
            return result
        with _replaced(layer, keras.activations.linear):
            result = layer(*arguments, **keywords)
        relu = self.rectify if activation is keras.activations.relu else None
        after = (relu or activation)(result)
        if wanted:
            values[path] = after if self.nonlinear else result
        return after

    def _rectified(self, layer: Any, arguments: Any, keywords: Mapping[str, Any]) -> Any:
        if self.rectify is not None and _is_plain_relu(layer):
            return self.rectify(*arguments)
        if self.rectify is None or getattr(layer, "activation", None) is not keras.activations.relu:
            return layer(*arguments, **keywords)
        with _replaced(layer, self.rectify):
            return layer(*arguments, **keywords)


def has_relu(model: Any) -> bool:
    """Whether a layer of the model rectifies."""
    return any(
        _is_plain_relu(call.layer) or getattr(call.layer, "activation", None) is keras.activations.relu
        for call in calls(model)
    )


@contextmanager
def _replaced(layer: Any, activation: Callable[[Any], Any]) -> Iterator[None]:
    own = layer.activation
    layer.activation = activation
    try:
        yield
    finally:
        layer.activation = own


def _is_linear_then_activation(layer: Any) -> bool:
    """Dense and convolutional layers: their last step is an activation function."""
    has_kernel = any(hasattr(layer, name) for name in ("kernel", "depthwise_kernel"))
    return has_kernel and hasattr(layer, "activation") and not hasattr(layer, "recurrent_kernel")


def _is_plain_relu(layer: Any) -> bool:
    if not isinstance(layer, keras.layers.ReLU):
        return False
    return layer.max_value is None and not layer.negative_slope and not layer.threshold


def _graph(layer: Any) -> Any | None:
    if isinstance(layer, keras.Sequential):
        return layer._functional
    return layer if hasattr(layer, "_nodes_by_depth") else None
