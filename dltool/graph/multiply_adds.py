"""Multiply-adds of a layer's forward pass."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import keras

from dltool.graph import keras_internals

Shape = tuple[int | None, ...]
PRODUCTS = ("Conv", "ConvTranspose", "DepthwiseConv", "Dot", "Einsum", "Inner", "Outer", "SeparableConv", "Tensordot")


def multiply_adds(layer: Any, input_shapes: Sequence[Shape], output_shape: Shape) -> int | None:
    """Products of the layer's weights, and of the matrices that attention multiplies, for one example.

    Elementwise work (biases, activations, normalisation, pooling, embeddings' look-ups) counts as nothing, as in
    the papers' figures for nets. A class outside Keras counts its own in a method `multiply_adds(inputs, output)`, of
    shapes with the batch axis.

    Args:
        layer: a built layer, or an operation of keras.ops.
        input_shapes: of its inputs, with the batch axis, in the order of the call.
        output_shape: of its first output, with the batch axis.
    Returns:
        The count; None where it is not known: a layer with weights of an unknown kind, or an axis without a size.
    """
    kind = type(layer).__name__
    if isinstance(layer, keras.Layer):
        rule = getattr(type(layer), "multiply_adds", None) or _RULES.get(kind)
        if rule is None:
            matrices = [weight for weight in layer.trainable_weights if len(weight.shape) > 1]
            return None if matrices and not isinstance(layer, keras.layers.Embedding) else 0
    else:
        rule = _matrices if kind == "Matmul" else None
        if rule is None:
            return None if kind in PRODUCTS else 0
    try:
        return rule(layer, input_shapes, output_shape)
    except TypeError:  # an axis of unknown size
        return None


def _positions(shape: Any, data_format: str | None = "channels_last") -> int:
    """Positions of a shape: all axes but the batch's and the channels'."""
    return math.prod(shape[2:] if data_format == "channels_first" else shape[1:-1])


def of_dense(layer: Any, inputs: Sequence[Shape], output: Shape) -> int:
    """Return the products of a kernel at each position of the input."""
    return _positions(inputs[0]) * math.prod(layer.kernel.shape)


def of_convolution(layer: Any, inputs: Sequence[Shape], output: Shape) -> int:
    """Return the products of a kernel (window..., channels / groups, filters) at each position of the output."""
    positions = _positions(output, getattr(layer, "data_format", None))
    return positions * math.prod(layer.kernel.shape)


def _transposed(layer: Any, inputs: Any, output: Any) -> int:
    return _positions(inputs[0], layer.data_format) * math.prod(layer.kernel.shape)


def _separable(layer: Any, inputs: Any, output: Any) -> int:
    weights = math.prod(layer.depthwise_kernel.shape) + math.prod(layer.pointwise_kernel.shape)
    return _positions(output, layer.data_format) * weights


def _recurrent(layer: Any, inputs: Any, output: Any) -> int | None:
    """A step's matrices times the steps; of stacked cells, those of all."""
    cells = getattr(layer.cell, "cells", [layer.cell])
    if any(type(cell).__name__ not in CELLS for cell in cells):
        return None
    return inputs[0][1] * sum(math.prod(c.kernel.shape) + math.prod(c.recurrent_kernel.shape) for c in cells)


def _convolutional_recurrent(layer: Any, inputs: Any, output: Any) -> int:
    kernels = math.prod(layer.cell.kernel.shape) + math.prod(layer.cell.recurrent_kernel.shape)
    first = layer.data_format == "channels_first"
    end = len(output) if first else len(output) - 1
    return inputs[0][1] * math.prod(output[end - len(layer.cell.kernel_size) : end]) * kernels


def _bidirectional(layer: Any, inputs: Any, output: Any) -> int | None:
    both = [multiply_adds(one, inputs, output) for one in (layer.forward_layer, layer.backward_layer)]
    return None if None in both else sum(both)  # type: ignore[arg-type]


def _time_distributed(layer: Any, inputs: Any, output: Any) -> int | None:
    one = _inside(layer.layer, [(None, *inputs[0][2:])], (None, *output[2:]))
    return None if one is None else inputs[0][1] * one


def _wrapped(layer: Any, inputs: Any, output: Any) -> int | None:
    return _inside(layer.layer, inputs, output)


def _inside(layer: Any, inputs: Any, output: Any) -> int | None:
    """Count a wrapped layer, which may be a model."""
    if not isinstance(layer, keras.Model):
        return multiply_adds(layer, inputs, output)
    from dltool.graph.calls import calls

    try:
        found = [multiply_adds(c.layer, c.input_shapes, c.output_shapes[0]) for c in calls(layer)]
    except ValueError:  # a graph that is not known
        return None
    return None if None in found else sum(found)  # type: ignore[arg-type]


def _multi_head(layer: Any, inputs: Any, output: Any) -> int:
    """Projections of queries, keys and values, scores, their weighted sum, and the projection of the output."""
    queries, keys = output[1:-1], _keys(inputs, output)
    sides = {True: math.prod(queries), False: math.prod(keys)}
    projections = keras_internals.attention_projections(layer)
    weights = sum(
        sides[name not in ("key", "value")] * math.prod(dense.kernel.shape) for name, dense in projections.items()
    )
    heads, key_size = projections["query"].kernel.shape[-2:]
    return weights + sides[True] * sides[False] * heads * (key_size + projections["value"].kernel.shape[-1])


def _keys(inputs: Any, output: Any) -> Any:
    """Return the axes of the positions that are attended to.

    They are axes of the input next to the queries, as many as the output's.
    """
    positions = [shape[1:-1] for shape in inputs]
    if tuple(output[1:-1]) in positions:
        positions.remove(tuple(output[1:-1]))
    return positions[0] if positions else output[1:-1]


def _attention(layer: Any, inputs: Any, output: Any) -> int:
    """Scores of inputs (queries, values, keys) and their weighted sum; additive scores take products if scaled."""
    queries, values = inputs[0], inputs[1]
    scored = queries[-1] if type(layer).__name__ == "Attention" or layer.use_scale else 0
    return queries[1] * values[1] * (scored + values[-1])


def _matrices(layer: Any, inputs: Any, output: Any) -> int:
    return math.prod(output[1:]) * inputs[0][-1]


def _dot(layer: Any, inputs: Any, output: Any) -> int:
    axis = layer.axes if isinstance(layer.axes, int) else layer.axes[0]
    return math.prod(output[1:]) * inputs[0][axis]


def _einsum(layer: Any, inputs: Any, output: Any) -> int:
    """The kernel once for each position along the input's axes that the kernel has not."""
    given, weights = layer.equation.split("->")[0].split(",")
    axes = given.replace("...", "." * (len(inputs[0]) - len(given.replace("...", ""))))
    free = [size for axis, size in zip(axes[1:], inputs[0][1:], strict=True) if axis not in weights.replace(".", "")]
    return math.prod(layer.kernel.shape) * math.prod(free)


CELLS = ("SimpleRNNCell", "GRUCell", "LSTMCell")
_RULES: dict[str, Any] = {  # of Keras's layers
    "Dense": of_dense,
    "EinsumDense": _einsum,
    **{f"Conv{n}D": of_convolution for n in (1, 2, 3)},
    **{f"DepthwiseConv{n}D": of_convolution for n in (1, 2)},
    **{f"SeparableConv{n}D": _separable for n in (1, 2)},
    **{f"Conv{n}DTranspose": _transposed for n in (1, 2, 3)},
    **dict.fromkeys(("SimpleRNN", "GRU", "LSTM", "RNN"), _recurrent),
    **{f"ConvLSTM{n}D": _convolutional_recurrent for n in (1, 2, 3)},
    "Bidirectional": _bidirectional,
    "TimeDistributed": _time_distributed,
    "SpectralNormalization": _wrapped,
    **dict.fromkeys(("MultiHeadAttention", "GroupedQueryAttention"), _multi_head),
    **dict.fromkeys(("Attention", "AdditiveAttention"), _attention),
    "Dot": _dot,
}
