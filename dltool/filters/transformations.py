"""Small random moves of an image, and its blur, in a compiled graph."""

from __future__ import annotations

import math

import numpy as np
import tensorflow as tf


def jittered(images: tf.Tensor, pixels: int, seed: tf.Tensor) -> tf.Tensor:
    """Return images (n, ..., channels), shifted cyclically along each spatial axis by up to `pixels`.

    All move alike.
    """
    axes = list(range(1, len(images.shape) - 1))
    shift = tf.random.stateless_uniform([len(axes)], seed, -pixels, pixels + 1, tf.int32)
    return tf.roll(images, shift, axes)


def turned(images: tf.Tensor, degrees: float, scale: float, seed: tf.Tensor) -> tf.Tensor:
    """Return images (n, rows, columns, channels), turned by up to `degrees` and enlarged by up to 1 + `scale`.

    Each image by its own angle and factor, the latter also down to 1 / (1 + scale), about the middle, bilinearly.
    """
    n = tf.shape(images)[0]
    draws = tf.random.stateless_uniform([n, 2], seed, -1.0, 1.0)
    angle = draws[:, 0] * math.radians(degrees)
    factor = tf.exp(draws[:, 1] * math.log1p(scale))
    rows, columns = images.shape[1], images.shape[2]
    y, x = (rows - 1) / 2, (columns - 1) / 2
    a, b = tf.cos(angle) * factor, tf.sin(angle) * factor
    none = tf.zeros_like(a)
    # output (column, row) is taken from (a column - b row + ..., b column + a row + ...)
    flat = tf.stack([a, -b, x - a * x + b * y, b, a, y - b * x - a * y, none, none], axis=1)
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=images,
        transforms=flat,
        output_shape=tf.shape(images)[1:3],
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="NEAREST",
    )


def blurred(images: tf.Tensor, sigma: float) -> tf.Tensor:
    """Return images (n, ..., channels) after a Gaussian of `sigma` pixels along each spatial axis."""
    radius = max(1, math.ceil(3 * sigma))
    window = np.exp(-np.square(np.arange(-radius, radius + 1) / sigma) / 2)
    window = (window / window.sum()).astype(np.float32)
    for axis in range(1, len(images.shape) - 1):
        size = images.shape[axis]
        # the border's own value goes on: a mirror needs as many pixels as the window reaches
        index = np.clip(np.arange(-radius, size + radius), 0, size - 1)
        extended = tf.gather(images, index, axis=axis)
        parts = [window[i] * _slice(extended, axis, i, size) for i in range(2 * radius + 1)]
        images = tf.add_n(parts)
    return images


def _slice(images: tf.Tensor, axis: int, start: int, size: int) -> tf.Tensor:
    index = [slice(None)] * len(images.shape)
    index[axis] = slice(start, start + size)
    return images[tuple(index)]
