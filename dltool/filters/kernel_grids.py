"""The kernels of a layer as small pictures, and which of them are dead or alike."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

DEAD = 0.01  # of the layer's median norm
ALIKE = 0.95  # cosine of near-duplicates


def kernels(layer: Any, input_shape: Sequence[int | None]) -> np.ndarray | None:
    """Return a layer's kernels as float32 (units, channels, rows, columns), or None.

    Convolutions of images stay unchanged; a depthwise one has one unit per output channel, a 3-D one a channel per
    slice. 1-D convolutions: one channel, rows are input channels and columns are positions. Dense layers: reshaped like
    `input_shape` if the sizes agree, so that a first layer on flattened images shows images; otherwise one row.
    Embeddings: one unit per token, with its vector as one row.

    Args:
        input_shape: of the model without the batch axis.
    """
    kind = type(layer).__name__
    if kind.endswith("Embedding") and hasattr(layer, "embeddings"):
        return _array(layer.embeddings)[:, None, None, :]
    weight = getattr(layer, "depthwise_kernel", None)  # of separable convolutions
    if weight is None and hasattr(layer, "depth_multiplier"):
        weight = layer.kernel
    if weight is not None:
        array = _array(weight)  # (..., channels, multiplier)
        merged = array.reshape(*array.shape[:-2], 1, -1)  # a unit an output channel
        return _spatial(merged)
    weight = getattr(layer, "kernel", None)
    if weight is None or hasattr(layer, "recurrent_kernel"):
        return None
    array = _array(weight)
    if array.ndim == 2:
        return _dense(array, tuple(input_shape))
    if array.ndim < 3:
        return None
    return _spatial(np.swapaxes(array, -1, -2) if "Transpose" in kind else array)


def dead(norms: np.ndarray) -> np.ndarray:
    """Return which kernels have less than 1 % of the layer's median norm, bool (units,)."""
    return norms <= DEAD * np.median(norms)


def nearest(array: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return each unit's most nearly parallel or opposite other kernel, and the cosine.

    Args:
        array: (units, ...).
    Returns:
        Indices int64 (units,), -1 for a single unit, and cosines float (units,).
    """
    flat = array.reshape(len(array), -1).astype(np.float64)
    norms = np.linalg.norm(flat, axis=1, keepdims=True)
    unit = np.divide(flat, norms, out=np.zeros_like(flat), where=norms > 0)
    if len(array) < 2 or flat.shape[1] < 2:  # single numbers all point the same way
        return np.full(len(array), -1), np.zeros(len(array))
    cosines = unit @ unit.T
    np.fill_diagonal(cosines, 0)
    other = np.abs(cosines).argmax(axis=1)
    return other, cosines[np.arange(len(array)), other]


def _array(weight: Any) -> np.ndarray:
    return np.asarray(weight, np.float32)


def _spatial(array: np.ndarray) -> np.ndarray:
    """Return (units, channels, rows, columns) from (..., channels, units) with 1, 2 or 3 spatial axes."""
    if array.ndim == 3:  # (positions, channels, units)
        return array.transpose(2, 1, 0)[:, None]
    if array.ndim == 5:  # (depth, rows, columns, channels, units)
        array = array.transpose(1, 2, 0, 3, 4).reshape(*array.shape[1:3], -1, array.shape[-1])
    return array.transpose(3, 2, 0, 1)


def _dense(array: np.ndarray, shape: tuple[int | None, ...]) -> np.ndarray:
    """Return (units, channels, rows, columns) from (inputs, units)."""
    units = array.shape[1]
    known = [size for size in shape if size is not None]
    if len(known) == len(shape) == 3 and math.prod(known) == len(array):
        return array.T.reshape(units, *known).transpose(0, 3, 1, 2)
    if len(known) == len(shape) == 2 and math.prod(known) == len(array):
        return array.T.reshape(units, *known).transpose(0, 2, 1)[:, None]
    return array.T[:, None, None, :]
