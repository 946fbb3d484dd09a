"""Which axes of a kernel run over a unit's inputs and which over the units."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from dltool.graph.keras_internals import Convolution, DepthwiseConvolution, SeparableConvolution, TransposedConvolution

LINEAR = (keras.layers.Dense, keras.layers.EinsumDense, Convolution, TransposedConvolution, DepthwiseConvolution,
          SeparableConvolution)  # fmt: skip


def kernels(layer: Any) -> list[tuple[Any, list[int], list[int]]]:
    """A linear layer's kernels, each with its axes of inputs and of outputs; the last makes the layer's output."""
    if isinstance(layer, SeparableConvolution):
        return [_depthwise(layer.depthwise_kernel), _by_last_axis(layer.pointwise_kernel)]
    if isinstance(layer, DepthwiseConvolution):
        return [_depthwise(layer.kernel)]
    if isinstance(layer, TransposedConvolution):  # (*window, filters, channels)
        rank = len(layer.kernel.shape)
        return [(layer.kernel, [*range(rank - 2), rank - 1], [rank - 2])]
    if isinstance(layer, keras.layers.EinsumDense):
        inputs, kernel, output = layer.equation.replace("...", "").replace("->", ",").split(",")
        summed = [axis for axis, letter in enumerate(kernel) if letter not in output]
        made = [axis for axis, letter in enumerate(kernel) if letter in output and letter not in inputs]
        return [(layer.kernel, summed, made)]
    return [_by_last_axis(layer.kernel)]


def unit_columns(layer: Any, weight: Any, values: np.ndarray) -> np.ndarray:
    """A kernel's values, or others of its shape, with a row for each unit's incoming weights.

    A depthwise kernel has a unit for each channel and multiple of it, as a filter sees one channel.

    Args:
        layer: that holds the weight.
        weight: the kernel itself, of any layer; of layers other than the linear ones units are on the last axis.
        values: (..., of the kernel's shape).
    Returns:
        (units, incoming weights).
    """
    known = kernels(layer) if isinstance(layer, LINEAR) else []
    inputs = next((axes for kernel, axes, _ in known if kernel is weight), list(range(values.ndim - 1)))
    front = np.moveaxis(values, inputs, range(len(inputs)))
    size = int(np.prod(front.shape[: len(inputs)], dtype=int))
    return front.reshape(size, -1).T


def _by_last_axis(kernel: Any) -> tuple[Any, list[int], list[int]]:
    rank = len(kernel.shape)
    return kernel, [*range(rank - 1)], [rank - 1]


def _depthwise(kernel: Any) -> tuple[Any, list[int], list[int]]:
    """(*window, channels, multiplier): a filter sees one channel."""
    rank = len(kernel.shape)
    return kernel, [*range(rank - 2)], [rank - 1]
