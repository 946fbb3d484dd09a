"""Integrated gradients: a logit's rise from a baseline, divided among the pixels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from dltool.filters.class_logits import ClassLogits
from dltool.filters.pixel_gradients import pixel_gradient, summed


def integrated_gradients(classifier: ClassLogits, *, baseline: Any = 0.0, steps: int = 64) -> Callable[[Any, Any], Any]:
    """Map: A_i = (x_i - b_i) * integral over a in [0, 1] of d z_c / d x_i at b + a (x - b), summed over channels.

    Signed, in logits. Completeness: the map's sum is z_c(x) - z_c(b), up to the quadrature's error
    (Gauss-Legendre, which halves it faster than equal steps if the logit is smooth).

    Args:
        classifier: the model as images -> logits z.
        baseline: b, a number or an image of the model's input shape.
        steps: points of the quadrature, int > 0.
    Raises:
        ValueError: `steps` is not positive, or the baseline is neither a number nor an image of that shape.
    Limits: pixels that equal the baseline get nothing, however much they matter.
    Reference: Sundararajan, Taly & Yan, 2017, Axiomatic attribution for deep networks, eq. 1 and section 3.
    """
    if steps < 1:
        raise ValueError(f"The 'steps' of integrated-gradients must be > 0. Got {steps}.")
    b = tf.constant(np.broadcast_to(np.asarray(baseline, np.float32), classifier.image_shape))
    nodes, weights = np.polynomial.legendre.leggauss(steps)  # on [-1, 1]
    points = tf.constant(np.stack([(nodes + 1) / 2, weights / 2], axis=1), tf.float32)

    def maps(images: Any, targets: Any) -> Any:
        def add(total: Any, point: Any) -> Any:
            return total + point[1] * pixel_gradient(classifier, b + point[0] * (images - b), targets)

        return summed((images - b) * tf.foldl(add, points, tf.zeros_like(images)))

    return maps
