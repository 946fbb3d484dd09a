"""Activation maximisation: the images that units answer to most."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from dltool.filters.image_parameters import ImageParameters
from dltool.filters.transformations import blurred, jittered, turned

OBJECTIVES = ("unit", "channel")
BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-8  # Adam, Kingma & Ba 2015
BLUR_EVERY = 4  # steps, as in Yosinski et al. 2015; a blur after each flattens what the ascent gains


@dataclass(frozen=True)
class Ascent:
    """How to climb; every regulariser is off at 0. Means are over what the unit sees.

    Args:
        steps: of Adam.
        rate: its step size, in parameters of the image.
        l2: weight of mean(d^2), d the deviation from the data's mean in parts of the pixel range.
        total_variation: weight of mean |difference of neighbours| over each axis, in parts of the pixel range.
        blur: standard deviation in pixels of the Gaussian that smooths the parameters after every fourth step.
        jitter: pixels of random shift at every step.
        rotation: degrees of random turn, to either side.
        scale: random enlargement, 0.1 for up to 10 % larger or smaller.
        diversity: weight of the mean squared cosine between the deviations of a unit's images.
        seed: of the first noise and of the random moves.
    """

    steps: int = 256
    rate: float = 0.05
    l2: float = 2.0
    total_variation: float = 2.0
    blur: float = 0.0
    jitter: int = 0
    rotation: float = 0.0
    scale: float = 0.0
    diversity: float = 1.0
    seed: int = 0


@dataclass(frozen=True)
class Maximised:
    """The result of the ascent.

    Args:
        images: (units, copies, *shape), in the data's pixels.
        activations: what each unit gives for them, nothing moved, (units, copies).
        snapshots: images on the way, (snapshots, units, copies, *shape).
        snapshot_activations: that they give, (snapshots, units, copies).
        snapshot_steps: that had been made then.
    """

    images: np.ndarray
    activations: np.ndarray
    snapshots: np.ndarray
    snapshot_activations: np.ndarray
    snapshot_steps: Sequence[int]


def maximise(
    layer: Callable[[tf.Tensor], tf.Tensor],
    parameters: ImageParameters,
    units: Sequence[int],
    ascent: Ascent,
    *,
    objective: str = "unit",
    spreads: np.ndarray | None = None,
    copies: int = 1,
    snapshots: int = 1,
) -> Maximised:
    """Find images that maximise units: argmax_x a(x) / spread - penalties(x).

    All units are climbed at once as a batch, all steps in one compiled loop; without random moves the images of a unit
    do not depend on which others there are.

    Args:
        layer: images (n, *shape) -> activations (n, ..., all units), before the nonlinearity.
        units: which.
        objective: of a layer with positions "unit", the value in the middle, or "channel", the mean over positions.
        spreads: of each unit a typical size of a, (units,), so that penalties weigh alike. Defaults to 1.
        copies: images a unit, kept apart by `ascent.diversity`.
        snapshots: images kept on the way, evenly, the last among them; 1 to `ascent.steps`.
    Raises:
        ValueError: an unknown objective, rotation or scale of what is no image (blur and jitter also move signals),
            blur of a Fourier parameterisation, or more snapshots than steps.
    Limits: without penalties and moves the images are full of high frequencies; with them the activation is lower.
        What a blur takes grows with the image's contrast, what the steps between blurs give does not: they come to a
        balance, which a larger `rate` raises.
    Reference: Erhan et al., 2009, Visualizing higher-layer features of a deep network; Simonyan et al., 2014,
        arXiv:1312.6034 (L2); Mahendran & Vedaldi, 2015, CVPR (total variation, jitter); Yosinski et al., 2015,
        arXiv:1506.06579 (blur); Olah et al., 2017, Feature visualization, Distill (rotation, scale, diversity).
    """
    if objective not in OBJECTIVES:
        raise ValueError(f"The objective must be one of {', '.join(OBJECTIVES)}. Got {objective!r}.")
    if (ascent.rotation or ascent.scale) and len(parameters.shape) != 3:
        raise ValueError(f"Rotation and scale are for images. Got inputs of shape {tuple(parameters.shape)}.")
    if ascent.blur and parameters.fourier:
        raise ValueError("Blur smooths pixels; a Fourier parameterisation has none. Leave one of them out.")
    if not 1 <= snapshots <= ascent.steps:
        raise ValueError(f"The snapshots must be 1 to as many as steps, {ascent.steps}. Got {snapshots}.")
    chosen = tf.constant(np.repeat(np.asarray(units, np.int32), copies))
    scale = np.ones(len(units)) if spreads is None else np.maximum(spreads, 1e-6)
    weights = tf.constant(np.repeat(1 / scale, copies), tf.float32)

    def values(images: tf.Tensor) -> tf.Tensor:
        return tf.gather(_at(layer(images), objective), chosen, axis=1, batch_dims=1)

    def score(u: tf.Tensor, step: tf.Tensor) -> tf.Tensor:
        images = parameters.images(u)
        gain = weights * values(_moved(images, ascent, step))
        return tf.reduce_sum(gain - _penalty(images, parameters, ascent, copies))

    @tf.function(autograph=False, reduce_retracing=True)
    def climb(first: Any, state: Any, start: tf.Tensor, stop: tf.Tensor) -> tuple[Any, tf.Tensor, tf.Tensor]:
        def body(step: tf.Tensor, u: tf.Tensor, m: tf.Tensor, v: tf.Tensor) -> tuple[Any, ...]:
            with tf.GradientTape() as tape:
                tape.watch(u)
                total = score(u, step)
            gradient = tape.gradient(total, u)
            m, v = BETA_1 * m + (1 - BETA_1) * gradient, BETA_2 * v + (1 - BETA_2) * tf.square(gradient)
            power = tf.cast(step + 1, tf.float32)
            u += ascent.rate * m / (1 - BETA_1**power) / (tf.sqrt(v / (1 - BETA_2**power)) + EPSILON)
            step += 1
            if ascent.blur:
                u = tf.cond(step % BLUR_EVERY == 0, lambda: blurred(u, ascent.blur), lambda: u)
            return step, u, m, v

        _, *state = tf.while_loop(lambda step, *_: step < stop, body, [start, first, *state], parallel_iterations=1)
        images = parameters.images(state[0])
        return state, images, values(images)

    u = tf.constant(parameters.initial(ascent.seed, units, copies))
    state: list[tf.Tensor] = [u, tf.zeros_like(u), tf.zeros_like(u)]
    bounds = np.linspace(0, ascent.steps, snapshots + 1).round().astype(np.int32)
    # traced here: TensorFlow takes a function called once for each of many layers for a mistake, and says so
    first = tf.constant(0)
    compiled = climb.get_concrete_function(state[0], state[1:], first, first)
    kept, answers = [], []
    for start, stop in zip(bounds[:-1], bounds[1:], strict=True):
        state, images, active = compiled(state[0], state[1:], tf.constant(start), tf.constant(stop))
        kept.append(images.numpy().reshape(len(units), copies, *parameters.shape))
        answers.append(active.numpy().reshape(len(units), copies))
    return Maximised(kept[-1], answers[-1], np.stack(kept), np.stack(answers), [int(step) for step in bounds[1:]])


def _at(activations: tf.Tensor, objective: str) -> tf.Tensor:
    """Return (n, units) from (n, ..., units)."""
    spatial = activations.shape[1:-1]
    if not spatial:
        return activations
    if objective == "channel":
        return tf.reduce_mean(activations, axis=list(range(1, len(spatial) + 1)))
    return activations[(slice(None), *middle(spatial))]


def middle(spatial: Sequence[int]) -> tuple[int, ...]:
    """Return the position of a layer's unit that is maximised."""
    return tuple(size // 2 for size in spatial)


def _moved(images: tf.Tensor, ascent: Ascent, step: tf.Tensor) -> tf.Tensor:
    if ascent.jitter:
        images = jittered(images, ascent.jitter, tf.stack([ascent.seed, 2 * step]))
    if ascent.rotation or ascent.scale:
        images = turned(images, ascent.rotation, ascent.scale, tf.stack([ascent.seed, 2 * step + 1]))
    return images


def _penalty(images: tf.Tensor, parameters: ImageParameters, ascent: Ascent, copies: int) -> tf.Tensor:
    """Return the penalty of the regularisers, (n,) or ()."""
    deviation = (images - parameters.pixels.mean.astype(np.float32)) / float(parameters.pixels.extent)
    axes = list(range(1, len(images.shape)))
    # beyond the mask there is no gradient, so that nothing deviates there
    seen = float(np.prod(images.shape[1:])) * (1.0 if parameters.mask is None else float(parameters.mask.mean()))
    penalty = tf.zeros([])
    if ascent.l2:
        penalty += ascent.l2 / seen * tf.reduce_sum(tf.square(deviation), axis=axes)
    if ascent.total_variation:
        for axis in axes[:-1]:
            moved = tf.gather(deviation, np.arange(1, images.shape[axis]), axis=axis)
            difference = moved - tf.gather(deviation, np.arange(images.shape[axis] - 1), axis=axis)
            penalty += ascent.total_variation / seen * tf.reduce_sum(tf.abs(difference), axis=axes)
    if copies > 1 and ascent.diversity:
        flat = tf.reshape(deviation, [-1, copies, int(np.prod(images.shape[1:]))])
        unit = flat / tf.sqrt(tf.reduce_sum(tf.square(flat), axis=-1, keepdims=True) + 1e-12)
        cosines = tf.matmul(unit, unit, transpose_b=True)
        pairs = tf.reduce_sum(tf.square(cosines), axis=[1, 2]) - copies
        penalty += ascent.diversity * tf.repeat(pairs / (copies * (copies - 1)), copies)
    return penalty
