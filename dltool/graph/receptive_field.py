"""Receptive fields: how much of the input a unit of each layer sees."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras

from dltool.graph.calls import Call

POINTWISE = (  # Keras's; a layer of any other class says `is_pointwise = True`
    "Activation", "ActivityRegularization", "AlphaDropout", "BatchNormalization", "Dropout", "ELU", "GaussianDropout",
    "GaussianNoise", "Identity", "LayerScale", "LeakyReLU", "Masking", "Normalization", "PReLU", "ReLU", "Rescaling",
    "SpatialDropout1D", "SpatialDropout2D", "SpatialDropout3D", "StochasticDepth",
    "Abs", "Cast", "Clip", "Exp", "Gelu", "HardSigmoid", "HardSilu", "Log", "Negative", "Relu", "Relu6", "Sigmoid",
    "Silu", "Sqrt", "Square", "Tanh",
)  # fmt: skip
OVER_CHANNELS = ("LayerNormalization", "RMSNormalization", "Softmax", "UnitNormalization")  # by default
PADDED_OR_CUT = ("ZeroPadding", "Cropping")
MERGES = ("Add", "Average", "Concatenate", "Divide", "Maximum", "Minimum", "Multiply", "Subtract", "TrueDivide")


@dataclass(frozen=True)
class Field:
    """The receptive field along one axis.

    Args:
        size: input positions that reach a unit.
        jump: input positions between neighbouring units; below 1 after upsampling.
        start: the first input position that reaches unit 0; negative where that is padding. Unit i sees the positions
            from start + i jump, `size` of them.
    """

    size: float = 1
    jump: float = 1
    start: float = 0

    def first(self, unit: int) -> int:
        """The first input position that reaches a unit."""
        return math.floor(self.start + unit * self.jump + 1e-6)  # a third, three times, shall be one

    def through(self, window: int, stride: int, before: int = 0) -> Field:
        """After a window with padding before it: size + (window - 1) jump, jump stride, start - before jump."""
        return Field(self.size + (window - 1) * self.jump, self.jump * stride, self.start - before * self.jump)

    def stretched(self, window: int, stride: int, before: int = 0) -> Field:
        """After a transposed window, `before` of whose positions are cut off at the start."""
        behind = (before - window) / stride + 1
        reach = self.size + (-(-window // stride) - 1) * self.jump
        return Field(reach, self.jump / stride, self.start + behind * self.jump)

    def shifted(self, before: int) -> Field:
        """After `before` positions were added at the start, negative where they were cut off."""
        return Field(self.size, self.jump, self.start - before * self.jump)


Axes = tuple[Field | None, ...]  # of every axis but the batch's, None for channels


def receptive_fields(found: Sequence[Call]) -> list[tuple[Field, ...] | None]:
    """The field of each call's output along its spatial axes; None where units see the whole input, or unknown.

    Along a chain of windows k_i with strides s_i: r_i = r_(i-1) + (k_i - 1) j_(i-1), j_i = j_(i-1) s_i, from
    r_0 = j_0 = 1; a dilated window counts with its span; padding p_i moves the start, s_i = s_(i-1) - p_i j_(i-1).
    A transposed window of k with stride s adds ceil(k / s) - 1 positions, its units lie j / s apart; so do those of
    an upsampling. Where paths meet, all that any of them sees counts. Borders are left out of account: near them a
    unit sees less; and after upsampling the field is that of the units that see most.

    Reference: lecture slides 108-109 (whose 15 and 23 for the last two layers are a slip: 16 and 24);
    Araujo, Norris & Sim, 2019, Computing receptive fields of convolutional neural networks, eq. 2-5.
    """
    axes: list[Axes | None] = []
    for call in found:
        inputs = [
            _of_input(shape) if source is None else axes[source]
            for source, shape in zip(call.sources, call.input_shapes, strict=True)
        ]
        axes.append(_after(call, inputs))
    return [None if one is None else tuple(field for field in one if field is not None) for one in axes]


def is_pointwise(layer: Any) -> bool:
    """Return whether each position of a layer's output depends on the same position of its input alone."""
    return type(layer).__name__ in POINTWISE or bool(getattr(layer, "is_pointwise", False))


def _of_input(shape: tuple[int | None, ...]) -> Axes:
    """An input with channels last: a field of one position along each other axis."""
    return (*(Field() for _ in shape[1:-1]), None)


def _after(call: Call, inputs: Sequence[Axes | None]) -> Axes | None:
    kind = type(call.layer).__name__
    if any(axes is None for axes in inputs) or not inputs:
        return None
    if kind in MERGES:
        return _merged(call, [axes for axes in inputs if axes is not None])
    axes = inputs[0]
    assert axes is not None
    if axes == _of_input(call.input_shapes[0]) and _keeps_positions(call):
        return _of_input(call.output_shapes[0])
    spatial = any(field is not None for field in axes)
    if is_pointwise(call.layer):
        return axes
    if kind.startswith(PADDED_OR_CUT):
        return axes if _channels_first(call.layer) else _padded(call.layer, axes)
    over_channels = kind in OVER_CHANNELS or isinstance(call.layer, keras.layers.Dense)
    if over_channels and spatial and len(axes) > 1 and _works_on_last_axis(call.layer):
        return axes
    if kind == "Permute":
        return tuple(axes[axis - 1] for axis in call.layer.dims)
    stretched = _stretches(call.layer, len(axes) - 1)
    if stretched is not None and not _channels_first(call.layer):
        return (*(field and field.stretched(*one) for field, one in zip(axes, stretched, strict=False)), axes[-1])
    window = _window(call.layer, call.input_shapes[0][1:-1])
    if window is None or _channels_first(call.layer):
        return None
    return (*(field and field.through(*one) for field, one in zip(axes, window, strict=False)), axes[-1])


def _keeps_positions(call: Call) -> bool:
    """Return whether each output position is one of the input: an embedding, or axes of one added or removed."""
    if type(call.layer).__name__ == "Reshape":
        before, after = ([n for n in shape[1:] if n != 1] for shape in (call.input_shapes[0], call.output_shapes[0]))
        return before == after
    return isinstance(call.layer, keras.layers.Embedding) and call.output_shapes[0][:-1] == call.input_shapes[0]


def _stretches(layer: Any, rank: int) -> list[tuple[int, int, int]] | None:
    """(span, stride, positions cut off before) of a transposed convolution or upsampling, None for other layers."""
    if type(layer).__name__.startswith("UpSampling"):
        if getattr(layer, "interpolation", "nearest") != "nearest":
            return None
        return [(size, size, 0) for size in _each(layer.size, rank)]
    if "Transpose" not in type(layer).__name__ or len(getattr(layer, "kernel_size", ())) != rank:
        return None
    spans = [(k - 1) * d + 1 for k, d in zip(layer.kernel_size, _each(layer.dilation_rate, rank), strict=True)]
    strides = _each(layer.strides, rank)
    cut = [max(k - s, 0) // 2 if layer.padding == "same" else 0 for k, s in zip(spans, strides, strict=True)]
    return list(zip(spans, strides, cut, strict=True))


def _window(layer: Any, sizes: Sequence[int | None]) -> list[tuple[int, int, int]] | None:
    """(span, stride, padding before) of a convolution or pooling along each spatial axis, None for other layers."""
    rank = len(sizes)
    if len(getattr(layer, "kernel_size", ())) == rank and hasattr(layer, "strides"):
        windows, strides = _each(layer.kernel_size, rank), _each(layer.strides, rank)
        dilations = _each(layer.dilation_rate, rank)
        spans = [(window - 1) * dilation + 1 for window, dilation in zip(windows, dilations, strict=True)]
    elif hasattr(layer, "pool_size") and hasattr(layer, "strides"):
        spans, strides = _each(layer.pool_size, rank), _each(layer.strides, rank)
    else:
        return None
    padding = getattr(layer, "padding", "valid")
    before = [_before(padding, *one) for one in zip(spans, strides, sizes, strict=True)]
    return list(zip(spans, strides, before, strict=True))


def _before(padding: str, span: int, stride: int, size: int | None) -> int:
    """Positions added at the start; "same" of TensorFlow adds the smaller half there, by the input's size."""
    if padding == "causal":
        return span - 1
    if padding != "same":
        return 0
    rest = stride if size is None or size % stride == 0 else size % stride
    return max(span - rest, 0) // 2


def _padded(layer: Any, axes: Axes) -> Axes:
    """After ZeroPadding or Cropping, whose amounts are (before, after) of each spatial axis."""
    sign, amounts = (1, layer.padding) if hasattr(layer, "padding") else (-1, layer.cropping)
    pairs = [amounts] if isinstance(amounts[0], int) else list(amounts)
    fields = [field and field.shifted(sign * pair[0]) for field, pair in zip(axes, pairs, strict=False)]
    return (*fields, axes[-1])


def _merged(call: Call, inputs: Sequence[Axes]) -> Axes | None:
    """All that paths which meet see; None if their units do not lie alike."""
    ranks = {len(axes) for axes in inputs}
    if len(ranks) > 1 or len({shape[1:-1] for shape in call.input_shapes}) > 1:
        return None
    if type(call.layer).__name__ == "Concatenate" and call.layer.axis not in (-1, *ranks):
        return None
    merged: list[Field | None] = []
    for fields in zip(*inputs, strict=True):
        known = [field for field in fields if field is not None]
        if len(known) not in (0, len(fields)):
            return None
        merged.append(_union(known) if known else None)
    return tuple(merged)


def _union(fields: Sequence[Field]) -> Field:
    start = min(field.start for field in fields)
    return Field(max(f.start + f.size for f in fields) - start, max(f.jump for f in fields), start)


def _works_on_last_axis(layer: Any) -> bool:
    axis = getattr(layer, "axis", -1)
    return axis in (-1, [-1], (-1,)) or isinstance(layer, keras.layers.Dense)


def _channels_first(layer: Any) -> bool:
    return getattr(layer, "data_format", "channels_last") == "channels_first"


def _each(value: Any, rank: int) -> list[int]:
    return [int(one) for one in value] if isinstance(value, list | tuple) else [int(value)] * rank
