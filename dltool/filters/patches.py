"""The part of an image that a unit sees."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from dltool.graph.receptive_field import Field


def window(fields: Sequence[Field] | None, position: Sequence[int], shape: Sequence[int]) -> tuple[slice, ...]:
    """Return rows and columns that reach the unit at `position`. They may begin before 0 and end beyond the image.

    Args:
        fields: along each spatial axis; None where the unit sees the whole image.
        shape: of an image, without channels.
    """
    if fields is None:
        return tuple(slice(0, size) for size in shape)
    found = []
    for field, index in zip(fields, position, strict=True):
        start = field.first(index)
        found.append(slice(start, start + math.ceil(field.size)))
    return tuple(found)


def cropped(image: np.ndarray, at: Sequence[slice], beyond: np.ndarray | float) -> np.ndarray:
    """Return that part of an image (..., channels); beyond its borders `beyond`, such as the mean."""
    shape = [part.stop - part.start for part in at]
    out = np.empty((*shape, image.shape[-1]), image.dtype)
    out[...] = beyond
    inside = [slice(max(part.start, 0), min(part.stop, size)) for part, size in zip(at, image.shape, strict=False)]
    if all(part.stop > part.start for part in inside):
        to = [slice(i.start - p.start, i.stop - p.start) for i, p in zip(inside, at, strict=True)]
        out[tuple(to)] = image[tuple(inside)]
    return out


def mask(at: Sequence[slice], shape: Sequence[int]) -> np.ndarray:
    """Return 1 inside the window and 0 elsewhere, float32 of `shape`."""
    inside = np.zeros(shape, np.float32)
    inside[tuple(slice(max(part.start, 0), min(part.stop, size)) for part, size in zip(at, shape, strict=True))] = 1
    return inside
