"""The history compressor against NumPy: what is foreseen, what is passed on, and what its predictor learns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from dltool.library.datasets.long_lag import LongLag
from dltool.library.layers.history_compressor import HistoryCompressor
from dltool.library.objectives.next_step import NextStep

RNG = np.random.default_rng(2)
SYMBOLS, STEPS, UNITS = 4, 6, 3
X = np.eye(SYMBOLS, dtype=np.float32)[RNG.integers(0, SYMBOLS, (5, STEPS))]


@pytest.fixture(scope="module")
def layer() -> HistoryCompressor:
    keras.utils.set_random_seed(1)
    made = HistoryCompressor(UNITS, expected=0.25)
    made(X)
    made.set_weights([RNG.normal(size=weight.shape) for weight in made.get_weights()])
    return made


def foreseen(layer: Any, x: np.ndarray) -> np.ndarray:
    """Return p_t[x_t] of one sequence, (steps,), in NumPy."""
    w, r, b, v, c = (np.asarray(weight, np.float64) for weight in layer.get_weights())
    state, found = np.zeros(UNITS), []
    for symbol in x:
        scores = np.exp(state @ v + c)
        found.append((scores / scores.sum())[symbol.argmax()])
        state = np.tanh(symbol @ w + state @ r + b)
    return np.array(found)


def test_a_symbol_is_foreseen_from_those_before_it_alone(layer: Any) -> None:
    expected = np.array([foreseen(layer, x) for x in X])
    np.testing.assert_allclose(np.exp(layer.log_probabilities(X)), expected, rtol=1e-4)
    changed = X.copy()
    changed[:, 4] = np.roll(X[:, 4], 1, axis=-1)
    np.testing.assert_array_equal(layer.log_probabilities(changed)[:, :4], layer.log_probabilities(X)[:, :4])


def test_expected_symbols_become_zeros_that_masking_skips(layer: Any) -> None:
    probable = np.array([foreseen(layer, x) for x in X]) >= 0.25
    assert 0 < probable.mean() < 1
    passed = np.asarray(layer(X))
    np.testing.assert_array_equal(passed, np.where(probable[..., None], 0, X))
    above = keras.layers.SimpleRNN(3)
    seen = np.asarray(above(keras.layers.Masking()(passed)))
    kept = X[0][~probable[0]]  # the net above ends as if it had seen the others alone
    np.testing.assert_allclose(seen[0], above(kept[None])[0], rtol=1e-5)


def test_next_step_lowers_the_surprise_of_numpy_and_counts_what_is_passed_on(layer: Any) -> None:
    objective = NextStep()
    objective.build(layer, X.shape)
    figures, gradients = objective.gradients(tf.constant(X))
    probable = np.array([foreseen(layer, x) for x in X])
    assert float(figures["next_step"]) == pytest.approx(-np.log(probable).mean(), rel=1e-4)
    assert float(figures["unexpected"]) == pytest.approx((probable < 0.25).mean())
    weights = layer.get_weights()
    for index, gradient in enumerate(gradients):  # a central difference along each weight's own direction
        direction, losses = RNG.normal(size=gradient.shape).astype(np.float32), []
        for sign in (1, -1):
            moved = [*weights]
            moved[index] = weights[index] + sign * 1e-2 * direction
            layer.set_weights(moved)
            losses.append(-np.log([foreseen(layer, x) for x in X]).mean())
        layer.set_weights(weights)
        slope = (losses[0] - losses[1]) / 2e-2
        assert float(np.sum(np.asarray(gradient) * direction)) == pytest.approx(slope, rel=1e-2, abs=1e-4)
    with pytest.raises(ValueError, match="NextStep trains HistoryCompressor layers. 'd' is a Dense."):
        NextStep().build(keras.layers.Dense(2, name="d"), (None, 3))


def test_it_is_saved_with_its_weights(layer: Any, tmp_path: Path) -> None:
    model = keras.Sequential([keras.Input((STEPS, SYMBOLS)), layer])
    model.save(tmp_path / "m.keras")
    np.testing.assert_array_equal(keras.models.load_model(tmp_path / "m.keras")(X), model(X))
    for arguments, name in (((0,), "units"), ((2, 0.0), "expected"), ((2, 1.5), "expected")):
        with pytest.raises(ValueError, match=f"'{name}' parameter of HistoryCompressor"):
            HistoryCompressor(*arguments)


def test_all_but_the_first_symbol_of_a_long_lag_follow_from_the_one_before() -> None:
    data = LongLag(lag=7, classes=3, cycle=2, examples=50).read("train")
    assert data.x.shape == (50, 8, 5) and set(data.y) == {0, 1, 2}
    symbols = data.x.argmax(-1)
    np.testing.assert_array_equal(data.x.sum(-1), 1)
    np.testing.assert_array_equal(symbols[:, 0], data.y)
    np.testing.assert_array_equal(symbols[:, 1:], np.tile([3, 4, 3, 4, 3, 4, 3], (50, 1)))
