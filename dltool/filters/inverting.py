"""Inversion: the image that a layer's features of another image describe."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from dltool.graph.calls import Unrolled


@dataclass(frozen=True)
class Inversion:
    """The result of inversion.

    Args:
        images: the reconstructions, of the shape of the images, within the range of the pixels.
        errors: (n,), ||Phi(x) - Phi_0|| / ||Phi_0|| of the reconstructions.
        starting_errors: (n,), of the noise that it starts from.
    """

    images: np.ndarray
    errors: np.ndarray
    starting_errors: np.ndarray


def inversion(
    model: Any,
    images: Any,
    layer: str,
    *,
    steps: int = 256,
    learning_rate: float = 0.05,
    alpha: float = 6.0,
    norm_weight: float = 1e-3,
    beta: float = 2.0,
    variation_weight: float = 0.1,
    value_range: tuple[float, float] | None = None,
    seed: int = 0,
) -> Inversion:
    """Find x that minimises ||Phi(x) - Phi_0||^2 / ||Phi_0||^2 + norm_weight R_alpha(z) + variation_weight V_beta(z).

    Phi is the layer's output, Phi_0 that of the given image, z = (x - centre) / half the range of the pixels:
    R_alpha = mean |z|^alpha holds pixels in their range, V_beta = mean (dz_rows^2 + dz_columns^2)^(beta/2) makes them
    smooth; signals (positions, channels) along the positions alone. Adam from noise, its rate falling to zero by a
    cosine, z kept in [-1, 1] after each step; the paper has gradient descent with momentum.

    Args:
        model: a built Sequential or functional model of one input, images (rows, columns, channels) or signals
            (positions, channels).
        images: (n, rows, columns, channels) or (n, positions, channels), as the model takes them.
        layer: path of the layer.
        steps: int > 0.
        learning_rate: of the first step, in units of z.
        alpha, norm_weight: of the norm. The weight is >= 0.
        beta, variation_weight: of the total variation; beta = 1 keeps edges, 2 spreads them. The weight is >= 0.
        value_range: (lowest, highest) pixel; by default those of the images.
        seed: of the noise, the same for each image; equal seeds give equal images on the same machine.
    Raises:
        ValueError: an unknown layer, images that the model does not take, features that are all zero, a value out of
            range, or a layer that gives the pixels no gradient.
    Limits: the regularisers invent the details that the layer discarded; deep layers need larger weights than shallow
        ones (a first convolution comes out sharper with a variation_weight of 0.001).
    Reference: Mahendran & Vedaldi, 2015, Understanding deep image representations by inverting them, eq. 1-4.
    """
    graph = Unrolled(model)
    place = graph.steps[graph.number(layer)].gives[0]
    x0 = np.asarray(images, np.float32)
    if x0.ndim not in (3, 4) or any(
        a not in (b, None) for a, b in zip(x0.shape[1:], graph.input_shape[1:], strict=True)
    ):
        raise ValueError(f"The model takes images of shape {graph.input_shape[1:]}. Got {x0.shape[1:]}.")
    if steps < 1 or learning_rate <= 0 or min(norm_weight, variation_weight) < 0 or len(x0) == 0:
        raise ValueError("inversion needs images, steps > 0, learning_rate > 0 and weights that are not negative.")
    low, high = value_range or (float(x0.min()), float(x0.max()))
    if not low < high:
        raise ValueError(f"The 'value_range' of inversion must be two numbers, the lower first. Got {low} and {high}.")
    centre, half = (low + high) / 2, (high - low) / 2

    def features(z: Any) -> Any:
        found = tf.cast(graph.run(centre + half * z, [place])[0], tf.float32)
        return tf.reshape(found, (len(x0), -1))

    def relative(z: Any) -> Any:
        return tf.reduce_sum((features(z) - wanted) ** 2, axis=1) / scale

    wanted = features(tf.constant((x0 - centre) / half))
    scale = tf.reduce_sum(wanted**2, axis=1)
    if not np.all(scale.numpy() > 0):
        raise ValueError(f"layer '{layer}' gives only zeros for an image: there is nothing to invert.")
    noise = tf.random.stateless_normal(x0.shape[1:], (seed, 0), 0.0, 0.1)
    z = tf.broadcast_to(noise, x0.shape)
    schedule = keras.optimizers.schedules.CosineDecay(learning_rate, steps)

    def cost(z: Any) -> Any:
        norm = tf.reduce_mean(tf.abs(z) ** alpha, axis=list(range(1, x0.ndim)))
        return relative(z) + norm_weight * norm + variation_weight * total_variation(z, beta)

    def descend() -> Any:
        def step(k: Any, z: Any, mean: Any, square: Any) -> tuple[Any, ...]:
            with tf.GradientTape() as tape:
                tape.watch(z)
                total = tf.reduce_sum(cost(z))  # images do not meet: each follows its own gradient
            gradient = tape.gradient(total, z)
            if gradient is None:
                raise ValueError(f"layer '{layer}' gives the pixels no gradient.")
            t = tf.cast(k + 1, tf.float32)
            mean, square = 0.9 * mean + 0.1 * gradient, 0.999 * square + 0.001 * gradient**2
            change = mean / (1 - 0.9**t) / (tf.sqrt(square / (1 - 0.999**t)) + 1e-8)
            return k + 1, tf.clip_by_value(z - schedule(k) * change, -1.0, 1.0), mean, square

        zeros = tf.zeros(x0.shape)
        found = tf.while_loop(lambda k, *_: k < steps, step, (0, z, zeros, zeros))[1]
        return centre + half * found, tf.sqrt(relative(found)), tf.sqrt(relative(z))

    return Inversion(*(value.numpy() for value in tf.function(descend, autograph=False).get_concrete_function()()))


def total_variation(z: Any, beta: float) -> Any:
    """Return V_beta (n,), the mean of (dz_rows^2 + dz_columns^2)^(beta/2).

    The mean is over pixels with a lower and a right neighbour. For signals z (n, positions, channels) it is the mean of
    |dz_positions|^beta: channels are no neighbours.
    """
    if len(z.shape) == 3:
        squares = (z[:, 1:] - z[:, :-1]) ** 2
    else:
        squares = (z[:, 1:, :-1] - z[:, :-1, :-1]) ** 2 + (z[:, :-1, 1:] - z[:, :-1, :-1]) ** 2
    small = 1e-8 if beta < 2 else 0.0  # the root's gradient at zero
    return tf.reduce_mean((squares + small) ** (beta / 2), axis=list(range(1, len(z.shape))))
