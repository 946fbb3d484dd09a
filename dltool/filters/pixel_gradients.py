"""Gradients of class logits with respect to pixels, and what stands in for ReLUs on the way back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import keras
import tensorflow as tf

from dltool.filters.class_logits import ClassLogits
from dltool.graph.calls import Unrolled, activation_of, with_activation

RELU_FUNCTIONS = ("relu", "relu6")
RELU_OPERATIONS = ("ReLU", "Relu", "Relu6")  # keras.layers.ReLU, keras.ops.relu and relu6, activations' own operation

Function = Callable[[Any], Any]


def pixel_gradient(
    classifier: ClassLogits, images: Any, targets: Any, stand_ins: Mapping[int, Function] | None = None
) -> Any:
    """Return d logit / d pixel, the shape of images.

    Raises:
        ValueError: the logits do not depend on the pixels in a differentiable way.
    """
    with tf.GradientTape() as tape:
        tape.watch(images)
        logits = classifier.of_targets(classifier.logits(images, stand_ins), targets)
    gradient = tape.gradient(logits, images)
    if gradient is None:
        raise ValueError("the model's logits have no gradient with respect to its pixels")
    return gradient


def magnitude(gradient: Any) -> Any:
    """Return the largest absolute value over the channels: (n, rows, columns[, channels]) -> (n, rows, columns)."""
    size = tf.abs(gradient)
    return size if len(size.shape) == 3 else tf.reduce_max(size, axis=-1)


def summed(values: Any) -> Any:
    """Return the sum over the channels, sign kept: (n, rows, columns[, channels]) -> (n, rows, columns)."""
    return values if len(values.shape) == 3 else tf.reduce_sum(values, axis=-1)


def stand_in_relus(graph: Unrolled, change: Callable[[Function], Function]) -> dict[int, Function]:
    """Return stand-ins for every ReLU of a model: activation arguments, layers and operations.

    Limits: a ReLU inside a wrapper (`TimeDistributed`) or a recurrent cell stays unchanged, as do other activations.
    Raises:
        ValueError: the model has no ReLU.
    """
    found: dict[int, Function] = {}
    for number, step in enumerate(graph.steps):
        activation = activation_of(step.layer)
        if type(step.layer).__name__ in RELU_OPERATIONS:
            found[number] = change(step.layer)
        elif activation is not None and _is_relu(activation):
            found[number] = with_activation(step.layer, change(activation))
    if not found:
        raise ValueError("the model has no ReLU, whose gradient this method changes. Use gradient.")
    return found


def _is_relu(activation: Function) -> bool:
    return getattr(activation, "__name__", "") in RELU_FUNCTIONS or isinstance(activation, keras.layers.ReLU)


def rectified_backward(y: Any) -> Any:
    """Return y, with the gradient max(0, the gradient that comes from above)."""
    return _identity(y)


def straight_through(function: Function) -> Function:
    """Return a function whose gradient passes as if it were the identity."""

    @tf.custom_gradient
    def forward(x: Any) -> Any:
        return function(x), lambda upstream: upstream

    return lambda x, **_: forward(x)


@tf.custom_gradient
def _identity(y: Any) -> Any:
    return tf.identity(y), tf.nn.relu
