"""Dream: an image changed so that what a layer sees in it grows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from dltool.graph.calls import Unrolled


@dataclass(frozen=True)
class Dream:
    """The result of dreaming.

    Args:
        images: (n, rows, columns, channels), within the range of the pixels.
        before, after: (n,), the mean squared activation of the given images and of the dreamt ones.
    """

    images: np.ndarray
    before: np.ndarray
    after: np.ndarray


def dream(
    model: Any,
    images: Any,
    layer: str,
    *,
    unit: int | None = None,
    octaves: int = 3,
    octave_scale: float = 1.4,
    steps: int = 20,
    step_size: float = 0.02,
    jitter: int = 2,
    value_range: tuple[float, float] | None = None,
    seed: int = 0,
) -> Dream:
    """Ascend the mean squared activation of a layer from small to large scales of the image.

    At each octave, sizes s / octave_scale^(octaves - 1), ..., s: x <- x + step_size r g / mean |g|, with r the range of
    the pixels and g the gradient at x moved round by up to `jitter` pixels. The detail that an octave added is
    carried to the next by resizing it, and added to the image of that size.

    Args:
        model: a built Sequential or functional model of one input, images (rows, columns, channels).
        images: (n, rows, columns, channels), as the model takes them.
        layer: path of the layer.
        unit: a channel (or unit) of the layer; by default all.
        octaves: scales, int > 0. More than one needs a layer that takes images of other sizes: only convolutions
            and similar layers may lead to it.
        octave_scale: between scales, > 1.
        steps: of an octave, int > 0.
        step_size: mean change of a step, as a fraction of the range of the pixels, > 0.
        jitter: pixels, >= 0.
        value_range: (lowest, highest) pixel, that a dream keeps to; by default those of the images.
        seed: of the jitter; equal seeds give equal images on the same machine.
    Raises:
        ValueError: an unknown layer or unit, signals instead of images, images that the model does not take, a value
            out of range, a layer that gives the pixels no gradient, or one that needs images of one size.
    Limits: it shows what a layer could find in an image, not why the model decided. If all ReLUs of a unit are off, the
        gradient is zero and the image stays unchanged.
    Reference: Mordvintsev, Olah & Tyka, 2015, Inceptionism: going deeper into neural networks.
    """
    graph = Unrolled(model)
    step = graph.steps[graph.number(layer)]
    x0 = np.asarray(images, np.float32)
    if x0.ndim != 4:
        raise ValueError(f"dream is for images (rows, columns, channels). Got inputs of shape {x0.shape[1:]}.")
    if any(a not in (b, None) for a, b in zip(x0.shape[1:], graph.input_shape[1:], strict=True)):
        raise ValueError(f"The model takes images of shape {graph.input_shape[1:]}. Got {x0.shape[1:]}.")
    if min(octaves, steps) < 1 or octave_scale <= 1 or step_size <= 0 or jitter < 0 or len(x0) == 0:
        raise ValueError("dream needs images, octaves and steps > 0, octave_scale > 1, step_size > 0 and jitter >= 0.")
    if unit is not None and not 0 <= unit < (step.shape[-1] or 0):
        raise ValueError(f"layer '{layer}' has units 0..{(step.shape[-1] or 0) - 1}. Got {unit}.")
    low, high = value_range or (float(x0.min()), float(x0.max()))
    if not low < high:
        raise ValueError(f"The 'value_range' of dream must be two numbers, the lower first. Got {low} and {high}.")

    def activation(x: Any) -> Any:
        found = tf.cast(graph.run(x, [step.gives[0]])[0], tf.float32)
        found = found if unit is None else found[..., unit]
        return tf.reduce_mean(tf.reshape(found, (len(x0), -1)) ** 2, axis=1)

    def ascend(x: Any, octave: int) -> Any:
        def climb(x: Any, k: Any) -> Any:
            shift = tf.random.stateless_uniform((2,), (seed, octave * steps + k), -jitter, jitter + 1, tf.int32)
            moved = tf.roll(x, shift, axis=(1, 2))
            with tf.GradientTape() as tape:
                tape.watch(moved)
                total = tf.reduce_sum(activation(moved))
            gradient = tape.gradient(total, moved)
            if gradient is None:
                raise ValueError(f"layer '{layer}' gives the pixels no gradient.")
            gradient = tf.roll(gradient, -shift, axis=(1, 2))
            size = tf.reduce_mean(tf.abs(gradient), axis=(1, 2, 3), keepdims=True)
            return tf.clip_by_value(x + step_size * (high - low) * gradient / (size + 1e-12), low, high)

        return tf.foldl(climb, tf.range(steps), x)

    def dreamt(image: Any) -> Any:
        detail = None
        for octave, size in enumerate(sizes):
            base = tf.image.resize(image, size, antialias=True)
            start = base if detail is None else tf.clip_by_value(base + tf.image.resize(detail, size), low, high)
            x = ascend(start, octave)
            detail = x - base
        return x, activation(image), activation(x)

    sizes = _sizes(x0.shape[1:3], octaves, octave_scale)
    try:
        compiled = tf.function(dreamt, autograph=False).get_concrete_function(tf.TensorSpec(x0.shape))
    except ValueError as error:
        if octaves == 1 or "gives the pixels no gradient" in str(error):
            raise
        smallest = " x ".join(map(str, sizes[0]))
        raise ValueError(
            f"layer '{layer}' cannot be reached from images of {smallest} pixels. Use one octave."
        ) from error
    return Dream(*(value.numpy() for value in compiled(tf.constant(x0))))


def _sizes(shape: tuple[int, ...], octaves: int, scale: float) -> list[tuple[int, int]]:
    """Return (rows, columns) of the octaves, the image's own size last."""
    factors = [scale ** (octave - octaves + 1) for octave in range(octaves)]
    return [(max(1, round(shape[0] * factor)), max(1, round(shape[1] * factor))) for factor in factors]
