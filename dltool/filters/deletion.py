"""The deletion score: how fast a class's probability falls when the most important pixels go first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from dltool.filters.class_logits import ClassLogits


@dataclass(frozen=True)
class Deletion:
    """The result of deletion, one entry per image.

    Args:
        curves: (n, steps + 1), the class's probability with a fraction 0, 1/steps, ..., 1 of the pixels removed.
        scores: (n,), the area under the curve, in 0..1; lower is better.
        random_scores: (n,), the mean area of random orders, what a map that knows nothing gets.
    """

    curves: np.ndarray
    scores: np.ndarray
    random_scores: np.ndarray


class DeletionScore:
    """The deletion score of maps, compiled once for a model: (images, targets, maps) -> Deletion.

    score = area under P(class | the fraction f of pixels with the highest map removed) over f in [0, 1], by the
    trapezoidal rule; a removed pixel takes the baseline in all channels. Ties go in random order.

    Args:
        model: as in `attribution.attribute`.
        steps: points of the curve after the first, int > 0.
        random_orders: random orders that are averaged for comparison, the same for all maps; int > 0.
        baseline: the value of removed pixels, a number or an image of the model's input shape.
        seed: of the random orders and of ties.
        batch_size: images at a time.
    Raises:
        ValueError: not positive counts, or a model, images, targets or maps that do not fit.
    Limits: the model was not trained on images with removed pixels; if the baseline is the background,
        as black is in MNIST, random orders too delete mostly nothing.
    Reference: Petsiuk, Das & Saenko, 2018, RISE, section 4.3.
    """

    def __init__(
        self,
        model: Any,
        *,
        steps: int = 32,
        random_orders: int = 8,
        baseline: Any = 0.0,
        seed: int = 0,
        batch_size: int = 32,
    ) -> None:
        if min(steps, random_orders, batch_size) < 1:
            counts = f"{steps}, {random_orders} and {batch_size}"
            raise ValueError(f"'steps', 'random_orders' and 'batch_size' must be > 0. Got {counts}.")
        self.classifier = ClassLogits(model)
        self.random_orders, self.seed, self.batch_size = random_orders, seed, batch_size
        shape = self.classifier.image_shape
        b = tf.constant(np.broadcast_to(np.asarray(baseline, np.float32), shape))
        levels = tf.constant(np.rint(np.linspace(0, shape[0] * shape[1], steps + 1)), tf.int32)

        def curve(images: Any, targets: Any, ranks: Any) -> Any:
            masks = ranks if len(shape) == 2 else ranks[..., None]

            def probability(level: Any) -> Any:
                kept = tf.where(masks < level, b, images)
                return self.classifier.probabilities(self.classifier.logits(kept), targets)

            return tf.transpose(tf.map_fn(probability, levels, fn_output_signature=tf.float32))  # (n, steps + 1)

        batch = tf.TensorSpec((None, *shape)), tf.TensorSpec((None,), tf.int32)
        ranks = tf.TensorSpec((None, *shape[:2]), tf.int32)
        self._curve = tf.function(curve, autograph=False).get_concrete_function(*batch, ranks)
        self._random: tuple[bytes, np.ndarray] | None = None

    def __call__(self, images: Any, targets: Any, maps: Any) -> Deletion:
        x, classes = self.classifier.checked(images, targets)
        importance = np.asarray(maps, np.float64)
        if importance.shape != x.shape[:3]:
            raise ValueError(f"The 'maps' must have shape {x.shape[:3]}. Got {importance.shape}.")
        if not np.isfinite(importance).all():
            raise ValueError("The 'maps' must be finite.")
        curves = self._curves(x, classes, _ranks(importance, self.seed))
        return Deletion(curves, area(curves), self._random_scores(x, classes))

    def _random_scores(self, x: np.ndarray, classes: np.ndarray) -> np.ndarray:
        """Return scores of random orders, kept for the next maps of the same images."""
        key = x.tobytes() + classes.tobytes()
        if self._random is None or self._random[0] != key:
            areas = []
            for order in range(self.random_orders):
                ranks = _ranks(np.zeros((1, *x.shape[1:3])), self.seed + 1 + order)  # one order for all images
                areas.append(area(self._curves(x, classes, np.broadcast_to(ranks, x.shape[:3]))))
            self._random = key, np.mean(areas, axis=0)
        return self._random[1]

    def _curves(self, x: np.ndarray, classes: np.ndarray, ranks: np.ndarray) -> np.ndarray:
        batches = [slice(start, start + self.batch_size) for start in range(0, len(x), self.batch_size)]
        curves = [self._curve(*(tf.constant(one[i]) for one in (x, classes, ranks))).numpy() for i in batches]
        return np.concatenate(curves)


def area(curves: np.ndarray) -> np.ndarray:
    """Return the area under curves (n, points) over [0, 1], by the trapezoidal rule."""
    return np.trapezoid(curves, dx=1 / (curves.shape[1] - 1), axis=1)


def _ranks(importance: np.ndarray, seed: int) -> np.ndarray:
    """Return the rank of each pixel, 0 for the most important; int32, the shape of the maps (n, rows, columns)."""
    flat = importance.reshape(len(importance), -1)
    ties = np.random.default_rng(seed).permutation(flat.shape[1])
    order = np.lexsort((np.broadcast_to(ties, flat.shape), -flat), axis=1)
    ranks = np.empty_like(order)
    np.put_along_axis(ranks, order, np.arange(flat.shape[1])[None], axis=1)
    return ranks.reshape(importance.shape).astype(np.int32)
