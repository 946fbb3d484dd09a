"""The examples, and where in them, that units of a layer answer to most."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from dltool.graph.receptive_field import Field


@dataclass(frozen=True)
class Strongest:
    """The strongest answers of each unit over a data set, at most one an example.

    Args:
        values: falling, (units, count); -inf where there are fewer examples.
        examples: their numbers in the order of the batches, int64 (units, count).
        positions: where in the layer's map, int64 (units, count, spatial axes).
        spread: standard deviation of the unit's answers over examples and positions, (units,).
        seen: number of examples.
    """

    values: np.ndarray
    examples: np.ndarray
    positions: np.ndarray
    spread: np.ndarray
    seen: int


def strongest(layer: Callable[[tf.Tensor], list[tf.Tensor]], batches: Iterable[Any], count: int = 9) -> list[Strongest]:
    """Find the strongest examples of several layers at once, in one pass over batches of images.

    Args:
        layer: images -> activations (n, ..., units) of each layer.
        batches: of images (n, ...).
        count: answers kept a unit.
    Raises:
        ValueError: there are no examples.
    """

    @tf.function(autograph=False, reduce_retracing=True)
    def measured(images: tf.Tensor) -> list[Any]:
        return [_measured(one) for one in layer(tf.cast(images, tf.float32))]

    kept: list[Any] = []
    sums: list[list[Any]] = []
    seen, shapes = 0, []
    for images in batches:
        found = measured(images)
        if not kept:
            shapes = [tuple(spatial.numpy()) for *_, spatial in found]
            kept = [tuple(np.empty((0, best.shape[1]), kind) for kind in (float, int, int)) for best, *_ in found]
            sums = [[0.0, 0.0, 0] for _ in found]
        for number, (best, place, total, squares, _) in enumerate(found):
            examples = np.repeat(np.arange(seen, seen + len(best))[:, None], best.shape[1], axis=1)
            kept[number] = _best(kept[number], (best.numpy().astype(float), examples, place.numpy()), count)
            sums[number][0] += total.numpy().astype(float)
            sums[number][1] += squares.numpy().astype(float)
            sums[number][2] += len(best) * int(np.prod(shapes[number]))
        seen += len(images)
    if not seen:
        raise ValueError("There are no examples.")
    result = []
    for (values, examples, places), (total, squares, n), shape in zip(kept, sums, shapes, strict=True):
        spread = np.sqrt(np.maximum(squares / n - np.square(total / n), 0))
        at = np.stack(np.unravel_index(places.T, shape), axis=-1) if shape else np.empty((*places.T.shape, 0), int)
        result.append(Strongest(values.T, examples.T, at, spread, seen))
    return result


def _measured(activations: tf.Tensor) -> tuple[Any, ...]:
    """Measure (n, ..., units) per example.

    Return the largest value and its place (n, units), sums (units,), and the map's shape.
    """
    units = activations.shape[-1]
    flat = tf.reshape(activations, [tf.shape(activations)[0], -1, units])  # (n, positions, units)
    sums = tf.reduce_sum(flat, axis=[0, 1]), tf.reduce_sum(tf.square(flat), axis=[0, 1])
    place = tf.argmax(flat, axis=1)
    return tf.reduce_max(flat, axis=1), place, *sums, tf.shape(activations)[1:-1]


def _best(old: tuple[np.ndarray, ...], new: tuple[np.ndarray, ...], count: int) -> tuple[np.ndarray, ...]:
    """Return the `count` rows of largest value in each column, descending; earlier examples first if equal."""
    together = [np.concatenate(pair) for pair in zip(old, new, strict=True)]
    order = np.argsort(-together[0], axis=0, kind="stable")[:count]
    return tuple(np.take_along_axis(array, order, axis=0) for array in together)


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
