"""The gradient averaged over noisy copies of the image."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from dltool.filters.class_logits import ClassLogits
from dltool.filters.pixel_gradients import magnitude, pixel_gradient


def smoothgrad(
    classifier: ClassLogits, *, samples: int = 50, noise: float = 0.15, seed: int = 0
) -> Callable[[Any, Any], Any]:
    """Map: M = max over channels of |mean_k d z_c / d x at x + e_k|, e_k ~ N(0, (noise (max x - min x))^2).

    Every image of a call gets the same noise, scaled by its own range, so a map does not depend on its batch.

    Args:
        classifier: the model as images -> logits z.
        samples: noisy copies, int > 0.
        noise: standard deviation as a fraction of the image's range, > 0; the paper's 0.1 to 0.2.
        seed: of the noise.
    Raises:
        ValueError: `samples` or `noise` is not positive.
    Limits: the noise gives the surroundings a say: of a patch of 8 x 8 pixels that decides alone, 75 % of the mass lay
        inside at a noise of 0.15, 83 % at 0.1, 87 % without any.
    Reference: Smilkov, Thorat, Kim, Viegas & Wattenberg, 2017, SmoothGrad, sections 2 and 3.
    """
    if samples < 1 or noise <= 0:
        raise ValueError(f"smoothgrad needs samples > 0 and noise > 0. Got {samples} and {noise}.")
    axes = list(range(1, 1 + len(classifier.image_shape)))

    def maps(images: Any, targets: Any) -> Any:
        spread = tf.reduce_max(images, axes, keepdims=True) - tf.reduce_min(images, axes, keepdims=True)

        def add(total: Any, sample: Any) -> Any:
            e = tf.random.stateless_normal((1, *classifier.image_shape), tf.stack([seed, sample]), 0.0, noise)
            return total + pixel_gradient(classifier, images + spread * e, targets)

        return magnitude(tf.foldl(add, tf.range(samples), tf.zeros_like(images)) / samples)

    return maps
