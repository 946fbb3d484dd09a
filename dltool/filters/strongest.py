"""The examples, and where in them, that units of a layer answer to most."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf


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
