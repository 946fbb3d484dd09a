"""Recurrent nets over sequences against the papers' formulas, step by step in NumPy, and their gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from scipy.special import expit

from dltool.ops.recurrence.gru import fused_gru
from dltool.ops.recurrence.lstm import fused_lstm
from dltool.ops.recurrence.simple_rnn import fused_simple_rnn

BATCH, TIME, FEATURES, UNITS = 3, 5, 2, 4
State = tuple[np.ndarray, ...]


def simple_rnn(x: np.ndarray, state: State, w: np.ndarray, u: np.ndarray, b: np.ndarray) -> State:
    return (np.tanh(x @ w + state[0] @ u + b),)


def lstm(x: np.ndarray, state: State, w: np.ndarray, u: np.ndarray, b: np.ndarray) -> State:
    i, f, g, o = np.split(x @ w + state[0] @ u + b, 4, axis=1)
    c = expit(f) * state[1] + expit(i) * np.tanh(g)
    return expit(o) * np.tanh(c), c


def gru_after(x: np.ndarray, state: State, w: np.ndarray, u: np.ndarray, b: np.ndarray) -> State:
    (x_z, x_r, x_h), (u_z, u_r, u_h) = np.split(x @ w + b[0], 3, axis=1), np.split(state[0] @ u + b[1], 3, axis=1)
    z, r = expit(x_z + u_z), expit(x_r + u_r)
    return (z * state[0] + (1 - z) * np.tanh(x_h + r * u_h),)


def gru_before(x: np.ndarray, state: State, w: np.ndarray, u: np.ndarray, b: np.ndarray) -> State:
    x_z, x_r, x_h = np.split(x @ w + b, 3, axis=1)
    z, r = expit(x_z + state[0] @ u[:, :UNITS]), expit(x_r + state[0] @ u[:, UNITS : 2 * UNITS])
    return (z * state[0] + (1 - z) * np.tanh(x_h + (r * state[0]) @ u[:, 2 * UNITS :]),)


# name -> formula, what computes it, gates, states, rows of biases
NETS: dict[str, tuple[Callable[..., State], Callable[..., Any], int, int, int]] = {
    "simple": (simple_rnn, fused_simple_rnn, 1, 1, 1),
    "lstm": (lstm, fused_lstm, 4, 2, 1),
    "gru": (gru_after, fused_gru, 3, 1, 2),
    "gru of the first paper": (gru_before, lambda *given: fused_gru(*given, reset_after=False), 3, 1, 1),
}


def drawn(name: str) -> tuple[list[np.ndarray], State, np.ndarray]:
    """Return x, W, U and b, the states before the first time, and a mask (time, batch, 1)."""
    _, _, gates, states, rows = NETS[name]
    rng = np.random.default_rng(1)
    shapes = [(BATCH, TIME, FEATURES), (FEATURES, gates * UNITS), (UNITS, gates * UNITS), (rows, gates * UNITS)]
    arrays = [rng.normal(size=shape).astype("float32") for shape in shapes]
    arrays[3] = arrays[3] if rows > 1 else arrays[3][0]
    before = tuple(rng.normal(size=(BATCH, UNITS)).astype("float32") for _ in range(states))
    return arrays, before, rng.random((TIME, BATCH, 1)) < 0.6


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("name", NETS)
def test_each_step_is_the_formula_and_masked_times_carry_the_state(name: str, masked: bool) -> None:
    step, fused, *_ = NETS[name]
    (x, w, u, b), state, mask = drawn(name)
    outputs, *last = fused(x, w, u, b, *state, tf.constant(mask) if masked else None)
    for time in range(TIME):
        after = step(x[:, time], state, w, u, b)
        state = tuple(np.where(mask[time], one, old) if masked else one for one, old in zip(after, state, strict=True))
        np.testing.assert_allclose(outputs[time], state[0], atol=2e-6)
    for found, expected in zip(last, state, strict=True):
        np.testing.assert_allclose(found, expected, atol=2e-6)


@pytest.mark.parametrize("name", NETS)
def test_the_slope_in_any_direction_is_that_of_the_gradient(name: str) -> None:
    """A central difference of the formulas in float64, in a random direction through all arrays at once."""
    step, fused, *_ = NETS[name]
    arrays, state, _ = drawn(name)
    rng = np.random.default_rng(2)
    weight = rng.normal(size=(TIME, BATCH, UNITS))
    given = [tf.constant(one) for one in (*arrays, *state)]
    with tf.GradientTape() as tape:
        tape.watch(given)
        loss = tf.reduce_sum(fused(*given)[0] * tf.constant(weight, tf.float32))
    directions = [rng.normal(size=one.shape) for one in given]
    slope = sum(float(np.sum(g * d)) for g, d in zip(tape.gradient(loss, given), directions, strict=True))

    def value(length: float) -> float:
        x, w, u, b, *moved = (np.float64(one) + length * d for one, d in zip(given, directions, strict=True))
        total, now = 0.0, tuple(moved)
        for time in range(TIME):
            now = step(x[:, time], now, w, u, b)
            total += float(np.sum(now[0] * weight[time]))
        return total

    assert slope == pytest.approx((value(1e-5) - value(-1e-5)) / 2e-5, rel=1e-4)
