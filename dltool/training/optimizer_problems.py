"""Small problems with one difficulty each, on which optimizers are tried: unit tests for stochastic optimization."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

STEEP = 1e4  # factor of the steep bowl's curvature, and divisor of the shallow one's
CLIFF, CLIFF_AT = 1000.0, -0.1  # the slope behind the minimum of a kink, and where it begins
RATIO, TURN = 100.0, math.pi / 6  # of a valley's curvatures; its angle to the axes
KEPT = 0.1  # share of the gradient's numbers that a sparse one has
ROTATED = math.pi / 3  # angle between the curl's field and the gradient
PERIOD = 100  # steps in which a drifting minimum goes round a circle of radius 1


@dataclass(frozen=True)
class Problem:
    """A function to be lowered, known by gradients that may be corrupted.

    Args:
        name: a word.
        difficulty: what is hard, in a few words.
        start: the first weights.
        loss: J(w, step) of float32 weights, what the result is judged by.
        lowest: its minimum.
        corrupt: the gradient that the optimizer is given, from the true one and noise (weights,). None: the true one.
        noise: noise(generator, shape); None: the same in every trial.
    """

    name: str
    difficulty: str
    start: tuple[float, ...]
    loss: Callable[[Any, Any], Any]
    lowest: float = 0.0
    corrupt: Callable[[Any, Any], Any] | None = None
    noise: Callable[[np.random.Generator, tuple[int, ...]], np.ndarray] | None = None


def _bowl(w: Any, step: Any) -> Any:
    return tf.reduce_sum(w * w) / 2


def _cliff(w: Any, step: Any) -> Any:
    return tf.reduce_sum(tf.abs(w) + CLIFF * tf.nn.relu(CLIFF_AT - w))


def _valley(w: Any, step: Any) -> Any:
    u = math.cos(TURN) * w[0] + math.sin(TURN) * w[1]
    v = math.cos(TURN) * w[1] - math.sin(TURN) * w[0]
    return (u * u + RATIO * v * v) / 2


def _saddle(w: Any, step: Any) -> Any:
    return w[0] ** 2 / 2 + w[1] ** 4 / 4 - w[1] ** 2 / 2


def _banana(w: Any, step: Any) -> Any:
    return (1 - w[0]) ** 2 + 100 * (w[1] - w[0] ** 2) ** 2


def _drift(w: Any, step: Any) -> Any:
    angle = 2 * math.pi * tf.cast(step, tf.float32) / PERIOD
    return ((w[0] - tf.cos(angle)) ** 2 + (w[1] - tf.sin(angle)) ** 2) / 2


def _turn(gradient: Any, noise: Any) -> Any:
    cosine, sine = math.cos(ROTATED), math.sin(ROTATED)
    return tf.stack([cosine * gradient[0] - sine * gradient[1], sine * gradient[0] + cosine * gradient[1]])


def _normal(generator: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return generator.normal(size=shape)


def _cauchy(generator: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return generator.standard_cauchy(size=shape)


def _mask(generator: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return (generator.random(size=shape) < KEPT) / KEPT


PROBLEMS = (
    Problem("bowl", "none", (1.0,), _bowl),
    Problem("steep", f"curvature {STEEP:.0e}", (1.0,), lambda w, step: STEEP * _bowl(w, step)),
    Problem("shallow", f"curvature {1 / STEEP:.0e}", (1.0,), lambda w, step: _bowl(w, step) / STEEP),
    Problem("kink", "gradient stays 1", (1.0,), lambda w, step: tf.reduce_sum(tf.abs(w))),
    Problem("cliff", "gradient jumps to 1001", (1.0,), _cliff),
    Problem("plateau", "gradient vanishes", (3.0,), lambda w, step: 1 - tf.exp(-_bowl(w, step))),
    Problem("valley", f"curvatures 1 : {RATIO:.0f}", (1.0, 1.0), _valley),
    Problem("saddle", "escape from y = 0.001", (1.0, 0.001), _saddle, lowest=-0.25),
    Problem("banana", "Rosenbrock's bent valley", (-1.0, 1.0), _banana),
    Problem("noise", "normal noise", (1.0,), _bowl, corrupt=lambda g, noise: g + noise, noise=_normal),
    Problem("outliers", "Cauchy noise", (1.0,), _bowl, corrupt=lambda g, noise: g + 0.1 * noise, noise=_cauchy),
    Problem("factor", "random factor", (1.0,), _bowl, corrupt=lambda g, noise: g * (1 + 2 * noise), noise=_normal),
    Problem("sparse", "9 of 10 numbers missing", (1.0,) * 10, _bowl, corrupt=lambda g, mask: g * mask, noise=_mask),
    Problem("curl", "field turned by 60 degrees", (1.0, 0.0), _bowl, corrupt=_turn),
    Problem("drift", "minimum on a circle", (2.0, 0.0), _drift),
)
