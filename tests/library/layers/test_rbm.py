"""RBM: its formulas against NumPy and against the enumeration of all states of a tiny machine."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from scipy.special import expit, logsumexp

from dltool.library.layers.rbm import RBM

RNG = np.random.default_rng(0)
KERNEL = RNG.normal(size=(4, 3)).astype(np.float32)
HIDDEN_BIAS, VISIBLE_BIAS = RNG.normal(size=3).astype(np.float32), RNG.normal(size=4).astype(np.float32)
V = np.array(list(itertools.product([0, 1], repeat=4)), np.float32)  # all states of the visible units
H = np.array(list(itertools.product([0, 1], repeat=3)), np.float32)


def machine(**arguments: Any) -> RBM:
    layer = RBM(3, **arguments)
    layer.build((None, 4))
    for variable, value in ((layer.kernel, KERNEL), (layer.bias, HIDDEN_BIAS), (layer.visible_bias, VISIBLE_BIAS)):
        variable.assign(value)
    return layer


def joint(visible: str = "binary", v: np.ndarray = V) -> np.ndarray:
    """-E(v, h) of states v and all h, (states, 8)."""
    own = v @ VISIBLE_BIAS if visible == "binary" else -((v - VISIBLE_BIAS) ** 2).sum(axis=1) / 2
    return own[:, None] + H @ HIDDEN_BIAS + v @ KERNEL @ H.T


def test_free_energy_and_conditionals_are_sums_over_all_states() -> None:
    layer, log = machine(), joint()
    np.testing.assert_allclose(layer.compute_free_energy(V), -logsumexp(log, axis=1), rtol=1e-5)
    given_v = np.exp(log - logsumexp(log, axis=1, keepdims=True))  # P(h | v)
    np.testing.assert_allclose(layer(V), given_v @ H, rtol=1e-5)
    given_h = np.exp(log - logsumexp(log, axis=0))  # P(v | h), (16, 8)
    np.testing.assert_allclose(layer.infer_visible(H), given_h.T @ V, rtol=1e-5)


def test_gaussian_free_energy_and_conditionals() -> None:
    layer, v = machine(visible="gaussian"), RNG.normal(size=(5, 4)).astype(np.float32)
    np.testing.assert_allclose(layer.compute_free_energy(v), -logsumexp(joint("gaussian", v), axis=1), rtol=1e-5)
    np.testing.assert_allclose(layer(v), expit(v @ KERNEL + HIDDEN_BIAS), rtol=1e-5)
    np.testing.assert_allclose(layer.infer_visible(H), H @ KERNEL.T + VISIBLE_BIAS, rtol=1e-5)
    drawn = layer.draw_visible(layer.infer_visible(np.repeat(H[:1], 4000, 0)), keras.random.SeedGenerator(1)).numpy()
    np.testing.assert_allclose(drawn.mean(axis=0), VISIBLE_BIAS, atol=0.08)
    np.testing.assert_allclose(np.cov(drawn.T), np.eye(4), atol=0.1)


def test_pseudo_likelihood_sums_the_conditionals_of_all_visible_units() -> None:
    log = logsumexp(joint(), axis=1)  # log p(v) + log Z, in the order of V
    place = {tuple(state): index for index, state in enumerate(V.tolist())}
    expected = np.zeros((16, 4))
    for index, unit in itertools.product(range(16), range(4)):
        other = V[index].copy()
        other[unit] = 1 - other[unit]
        expected[index, unit] = log[index] - np.logaddexp(log[index], log[place[tuple(other.tolist())]])
    layer = machine()
    units = np.arange(16, dtype=np.int32) % 4
    np.testing.assert_allclose(
        layer.compute_log_conditional(V, units), expected[np.arange(16), units], rtol=1e-4, atol=1e-6
    )
    np.testing.assert_allclose(layer.compute_pseudo_likelihood(0.9 * V), expected.sum(axis=1), rtol=1e-4)


def test_gibbs_chains_reach_the_machines_distribution() -> None:
    layer, seed = machine(), keras.random.SeedGenerator(3)
    hidden = np.zeros((20_000, 3), np.float32)
    for _ in range(20):
        visible, probabilities, hidden = layer.step_gibbs(hidden, seed)
    log = logsumexp(joint(), axis=1)
    expected = np.exp(log - logsumexp(log))
    states = np.asarray(visible).astype(int) @ [8, 4, 2, 1]
    np.testing.assert_allclose(np.bincount(states, minlength=16) / 20_000, expected, atol=0.012)
    np.testing.assert_allclose(probabilities, layer(visible))


@pytest.mark.parametrize("returns", [False, True])
def test_reconstruction_is_the_mean_given_the_hidden_probabilities(returns: bool, tmp_path: Path) -> None:
    layer = machine(return_reconstruction=returns)
    model = keras.Sequential([keras.Input((4,)), layer])
    hidden = expit(V @ KERNEL + HIDDEN_BIAS)
    expected = expit(hidden @ KERNEL.T + VISIBLE_BIAS) if returns else hidden
    np.testing.assert_allclose(model(V), expected, rtol=1e-5)
    assert model.output_shape == layer.compute_output_shape((None, 4)) == (None, 4 if returns else 3)
    assert len(model.trainable_variables) == (3 if returns else 2)
    assert layer.multiply_adds([(None, 4)], None) == (24 if returns else 12)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(again(V), expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ({"units": 0}, "The 'units' parameter of RBM must be an int > 0. Got 0 instead."),
        ({"visible": "real"}, "The 'visible' parameter of RBM must be one of 'binary', 'gaussian'. Got 'real' instead"),
        ({"return_reconstruction": 1}, "parameter of RBM must be true or false. Got 1 instead."),
    ],
)
def test_a_wrong_argument_is_named(arguments: dict[str, Any], line: str) -> None:
    with pytest.raises(ValueError, match=line.replace(".", r"\.")):
        RBM(**{"units": 3, **arguments})


def test_images_have_to_be_flattened() -> None:
    with pytest.raises(ValueError, match=r"RBM takes inputs \(batch, features\)\. Got \(None, 4, 4, 1\): put Flatten"):
        RBM(3).build((None, 4, 4, 1))
