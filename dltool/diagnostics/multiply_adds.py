"""Multiply-adds of a layer's forward pass."""

from __future__ import annotations

import math
from typing import Any

import keras


def multiply_adds(layer: Any, input_shape: tuple[int | None, ...], output_shape: tuple[int | None, ...]) -> int | None:
    """Products of the layer's weights (and of attention's queries and keys) for one example.

    Elementwise work (biases, activations, normalisation, pooling, embeddings' look-ups) counts as nothing, as in
    the papers' figures for nets.

    Args:
        layer: a built layer.
        input_shape: of its first input, with the batch axis.
        output_shape: of its first output, with the batch axis.
    Returns:
        The count; None where it is not known: a layer with weights of an unknown kind, or an axis without a size.
    """
    kind = type(layer).__name__
    rule = _RULES.get(kind)
    if rule is None:
        matrices = [weight for weight in layer.trainable_weights if len(weight.shape) > 1]
        return None if matrices and not isinstance(layer, keras.layers.Embedding) else 0
    try:
        return rule(layer, input_shape, output_shape)
    except TypeError:  # an axis of unknown size
        return None


def _positions(shape: tuple[int | None, ...]) -> int:
    """Positions of a shape: all axes but the batch's and the channels'."""
    return math.prod(shape[1:-1])  # type: ignore[arg-type]


def _dense(layer: Any, input_shape: Any, output_shape: Any) -> int:
    return _positions(input_shape) * math.prod(layer.kernel.shape)


def _convolution(layer: Any, input_shape: Any, output_shape: Any) -> int:
    return _positions(output_shape) * math.prod(layer.kernel.shape)  # kernel: (window..., channels / groups, filters)


def _transposed(layer: Any, input_shape: Any, output_shape: Any) -> int:
    return _positions(input_shape) * math.prod(layer.kernel.shape)


def _separable(layer: Any, input_shape: Any, output_shape: Any) -> int:
    weights = math.prod(layer.depthwise_kernel.shape) + math.prod(layer.pointwise_kernel.shape)
    return _positions(output_shape) * weights


def _recurrent(layer: Any, input_shape: Any, output_shape: Any) -> int:
    cell = layer.cell
    return input_shape[1] * (math.prod(cell.kernel.shape) + math.prod(cell.recurrent_kernel.shape))


def _bidirectional(layer: Any, input_shape: Any, output_shape: Any) -> int | None:
    both = [multiply_adds(one, input_shape, output_shape) for one in (layer.forward_layer, layer.backward_layer)]
    return None if None in both else sum(both)  # type: ignore[arg-type]


def _time_distributed(layer: Any, input_shape: Any, output_shape: Any) -> int | None:
    one = multiply_adds(layer.layer, (None, *input_shape[2:]), (None, *output_shape[2:]))
    return None if one is None else input_shape[1] * one


def _attention(layer: Any, input_shape: Any, output_shape: Any) -> int:
    """Self-attention of equal lengths: four projections, scores and their weighted sum."""
    length = input_shape[1]
    weights = sum(math.prod(w.shape) for w in layer.trainable_weights if "kernel" in w.path)
    return length * weights + length * length * layer.num_heads * (layer.key_dim + (layer.value_dim or layer.key_dim))


_RULES: dict[str, Any] = {
    **dict.fromkeys(("Dense", "BinaryDense"), _dense),  # a binary layer's products are of bits, and count the same
    **{f"Conv{n}D": _convolution for n in (1, 2, 3)},
    "BinaryConv2D": _convolution,
    "PartialConv2D": _convolution,  # kernel: (rows, columns, connected pairs)
    **{f"DepthwiseConv{n}D": _convolution for n in (1, 2)},
    **{f"SeparableConv{n}D": _separable for n in (1, 2)},
    **{f"Conv{n}DTranspose": _transposed for n in (1, 2, 3)},
    **dict.fromkeys(("SimpleRNN", "GRU", "LSTM"), _recurrent),
    "Bidirectional": _bidirectional,
    "TimeDistributed": _time_distributed,
    "MultiHeadAttention": _attention,
}
