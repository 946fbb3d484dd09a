"""The loss along lines and planes through the space of weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from dltool.errors import messages


def draw_direction(model: Any, variables: list[Any], seed: int) -> np.ndarray:
    """Return a random direction (weights,) that is scaled by filter.

    A kernel's part for each unit has the norm of the unit's own incoming weights: d <- d |w| / |d|. Biases and other
    vectors do not move. So the picture does not depend on the scale of a layer's weights, which ReLU and batch
    normalisation leave free.

    Args:
        variables: the trainable weights; units are on the last axis if the layer says nothing else.
    Reference: Li et al., 2018, Visualizing the Loss Landscape of Neural Nets, section 4.
    """
    from dltool.graph import keras_internals
    from dltool.graph.kernel_axes import LINEAR, kernels

    rng = np.random.default_rng(seed)
    inputs = {
        id(kernel): axes
        for layer in keras_internals.inner_layers(model)
        if isinstance(layer, LINEAR)
        for kernel, axes, _ in kernels(layer)
    }
    parts = []
    for variable in variables:
        values = np.asarray(variable, np.float64)
        drawn = rng.normal(size=values.shape)
        axes = tuple(inputs.get(id(variable), range(values.ndim - 1)))
        if not axes:
            drawn = np.zeros(values.shape)
        else:
            norms = [np.sqrt(np.square(one).sum(axis=axes, keepdims=True)) for one in (values, drawn)]
            drawn *= norms[0] / norms[1]
        parts.append(drawn.ravel())
    return np.concatenate(parts)


def scan_line(
    value: Callable[[np.ndarray], float], start: np.ndarray, direction: np.ndarray, steps: np.ndarray
) -> np.ndarray:
    """Return the loss at start + a direction, a in `steps`: (steps,)."""
    found = []
    for number, step in enumerate(steps, 1):
        messages.status(f"loss {number} of {len(steps)} ...")
        found.append(value(start + step * direction))
    return np.array(found)


def scan_plane(
    value: Callable[[np.ndarray], float],
    start: np.ndarray,
    first: np.ndarray,
    second: np.ndarray,
    steps: np.ndarray,
) -> np.ndarray:
    """Return the loss at start + a first + b second, a and b in `steps`: (steps of a, steps of b)."""
    return np.array([scan_line(value, start + step * first, second, steps) for step in steps])


def find_barrier(shares: np.ndarray, losses: np.ndarray) -> float:
    """Return how far the loss rises above the straight line between two solutions: max_t J(t) - (1 - t) J(0) - t J(1).

    Args:
        shares: t, with 0 and 1 among them; only those in [0, 1] count.
        losses: J(t).
    Reference: Frankle et al., 2020, Linear Mode Connectivity and the Lottery Ticket Hypothesis, section 3.
    """
    ends = [losses[int(np.argmin(np.abs(shares - end)))] for end in (0.0, 1.0)]
    inside = (shares >= 0) & (shares <= 1)
    straight = (1 - shares) * ends[0] + shares * ends[1]
    return float((losses - straight)[inside].max())
