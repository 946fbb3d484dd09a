"""The outputs of layers inside a model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from dltool.graph.calls import Unrolled, activation_of, with_activation


class Activations:
    """The values of some layers for a batch of images, by default before their nonlinearity: y = W x + b, not f(y).

    So a unit whose nonlinearity is saturated or off still has a gradient, and for a classifier's last layer these are
    the logits. Further layers get f(y) as always. Nested models are opened; the model stays unchanged.

    Args:
        model: a built Sequential or functional model of one input.
        paths: of layers, as `diagnostics.calls` gives them; for a shared layer the first call counts.
        nonlinear: give f(y) all the same.
    Raises:
        ValueError: an unknown path, or a model whose graph is not known or that has several inputs.
    """

    def __init__(self, model: Any, paths: Sequence[str], nonlinear: bool = False) -> None:
        self.graph = Unrolled(model)
        self.nonlinear = nonlinear
        self.numbers = [self.graph.number(path) for path in paths]
        self.shapes = [self.graph.steps[number].shape for number in self.numbers]

    def __call__(self, x: tf.Tensor, stand_ins: Mapping[int, Callable[..., Any]] | None = None) -> list[tf.Tensor]:
        """Float32 (n, ..., units) of each path.

        Args:
            x: images (n, ...) as the model takes them.
            stand_ins: number of a step of `graph` -> what is called in place of its layer.
        """
        values: dict[int, tf.Tensor] = {}
        given = dict(stand_ins or {})
        watched = {} if self.nonlinear else {number: self._watched(number, given, values) for number in self.numbers}
        called = given | {number: call for number, call in watched.items() if call is not None}
        found = self.graph.run(x, [self.graph.steps[number].gives[0] for number in self.numbers], called)
        return [
            tf.cast(values.get(number, value), tf.float32) for number, value in zip(self.numbers, found, strict=True)
        ]

    def _watched(
        self, number: int, given: Mapping[int, Callable[..., Any]], values: dict[int, tf.Tensor]
    ) -> Callable[..., Any] | None:
        """Return the layer as a call that keeps its pre-activation, None without a nonlinearity."""
        layer = given.get(number, self.graph.steps[number].layer)
        activation = activation_of(layer)
        if activation is None or not _ends_in_activation(layer):
            return None
        linear = with_activation(layer, keras.activations.linear)

        def call(*arguments: Any, **keywords: Any) -> Any:
            values[number] = linear(*arguments, **keywords)
            return activation(values[number])

        return call


def _ends_in_activation(layer: Any) -> bool:
    """Dense and convolutional layers: their last step is an activation function."""
    has_kernel = any(hasattr(layer, name) for name in ("kernel", "depthwise_kernel"))
    return has_kernel and not hasattr(layer, "recurrent_kernel")
