"""ContrastiveDivergence: its gradient against NumPy and the exact one of a tiny machine; what it learns."""

from __future__ import annotations

import itertools
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy.special import expit, logsumexp

from dltool.data.base import Examples
from dltool.data.pipelines.in_memory import DeviceArrays, InMemory
from dltool.library.layers.rbm import RBM
from dltool.library.objectives.contrastive_divergence import ContrastiveDivergence
from dltool.training.procedures.greedy import Greedy
from tests.interruption import Interrupted, Interrupting

STATES = np.array(list(itertools.product([0, 1], repeat=4)), np.float32)


def built(
    features: int = 4, visible: str = "binary", units: int = 3, spread: float = 0.7, **arguments: Any
) -> ContrastiveDivergence:
    keras.utils.set_random_seed(2)
    layer = RBM(units, visible=visible, kernel_initializer=keras.initializers.RandomNormal(stddev=spread))
    layer.build((None, features))
    objective = ContrastiveDivergence(**arguments)
    objective.build(layer, (None, features))
    return objective


def weights(objective: ContrastiveDivergence) -> list[np.ndarray]:
    return [np.asarray(variable, np.float64) for variable in objective.trainable]


def exact_gradients(objective: ContrastiveDivergence, v: np.ndarray) -> list[np.ndarray]:
    """Of the mean of -log p(v) over examples, from the probabilities of all states."""
    kernel, c, b = weights(objective)
    hidden = expit(STATES @ kernel + c)
    log = STATES @ b + np.logaddexp(0, STATES @ kernel + c).sum(axis=1)
    p = np.exp(log - logsumexp(log))
    seen = expit(v @ kernel + c)
    return [
        (STATES.T * p) @ hidden - v.T @ seen / len(v),
        p @ hidden - seen.mean(axis=0),
        p @ STATES - v.mean(axis=0),
    ]


@pytest.mark.parametrize("visible", ["binary", "gaussian"])
def test_gradient_is_the_difference_of_the_statistics_of_chains_and_data(visible: str) -> None:
    """Chains of the same random numbers, drawn outside; the statistics by NumPy."""
    objective, twin = (built(visible=visible, steps=3) for _ in range(2))
    v = np.random.default_rng(1).uniform(size=(5, 4)).astype(np.float32)
    figures, gradients = objective.gradients(tf.constant(v))
    layer, seed = twin.layer, twin._generator
    hidden = layer.draw_hidden(layer.infer_hidden(v), seed)
    rebuilt = layer.infer_visible(hidden)
    for _ in range(3):
        visible_units, _, hidden = layer.step_gibbs(hidden, seed)
    end = np.asarray(visible_units)
    kernel, c, _ = weights(twin)
    expected = [
        end.T @ expit(end @ kernel + c) / 5 - v.T @ expit(v @ kernel + c) / 5,
        expit(end @ kernel + c).mean(axis=0) - expit(v @ kernel + c).mean(axis=0),
        end.mean(axis=0) - v.mean(axis=0),
    ]
    for found, wanted in zip(gradients, expected, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-6)
    error = ((v - np.asarray(rebuilt)) ** 2).sum(axis=1).mean()
    assert float(figures["reconstruction_error"]) == pytest.approx(error, rel=1e-5)
    assert set(figures) == set(objective.FIGURES)
    assert ("pseudo_likelihood" in figures) == (visible == "binary")


def test_long_chains_give_the_gradient_of_the_likelihood_in_expectation() -> None:
    v = STATES[np.random.default_rng(0).integers(16, size=20_000)]
    objective = built(spread=2.0, steps=40)
    exact = exact_gradients(objective, v)
    _, gradients = objective.gradients(tf.constant(v))
    for found, wanted in zip(gradients, exact, strict=True):
        np.testing.assert_allclose(found, wanted, atol=0.015)
    # one step is biased, but points the same way
    _, gradients = built(spread=2.0).gradients(tf.constant(v))
    found, wanted = (np.concatenate([np.ravel(one) for one in many]) for many in (gradients, exact))
    assert np.abs(found - wanted).max() > 0.05
    assert found @ wanted / np.linalg.norm(found) / np.linalg.norm(wanted) > 0.7


def test_persistent_chains_reach_the_exact_gradient_over_the_batches() -> None:
    objective = built(spread=2.0, steps=10, persistent=True, chains=10_000)
    for _ in range(4):
        _, gradients = objective.gradients(tf.constant(STATES))
    for found, wanted in zip(gradients, exact_gradients(objective, STATES), strict=True):
        np.testing.assert_allclose(found, wanted, atol=0.02)


def test_pseudo_likelihood_of_a_batch_goes_round_the_visible_units() -> None:
    objective = built()
    found = [float(objective.gradients(tf.constant(STATES[:6]))[0]["pseudo_likelihood"]) for _ in range(2)]
    expected = [
        4 * np.mean(objective.layer.compute_log_conditional(STATES[:6], (np.arange(6) + first) % 4)) for first in (0, 6)
    ]
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def learn(objective: ContrastiveDivergence, data: np.ndarray, steps: int, rate: float) -> None:
    optimizer = keras.optimizers.SGD(rate)
    optimizer.build(objective.trainable)

    @tf.function
    def run(batches: tf.Tensor) -> None:
        for batch in batches:
            optimizer.apply(objective.gradients(batch)[1], objective.trainable)

    chosen = np.random.default_rng(0).integers(len(data), size=(steps, 50))
    run(tf.constant(data[chosen]))


def test_persistent_chains_learn_a_distribution_to_nearly_its_entropy() -> None:
    """Two pairs of bits that agree in 9 of 10 examples: entropy 2 (ln 2 + H(0.9)) = 2.04 nats."""
    rng = np.random.default_rng(0)
    first = rng.integers(2, size=(4000, 2))
    data = np.stack([first, first ^ (rng.random(first.shape) < 0.1)], axis=2).reshape(-1, 4).astype(np.float32)
    objective = built(steps=2, persistent=True, chains=100)
    learn(objective, data, 500, 0.5)
    log = -np.asarray(objective.layer.compute_free_energy(STATES))
    shares = np.bincount(data.astype(int) @ [8, 4, 2, 1], minlength=16) / len(data)
    nats, entropy = -(shares @ (log - logsumexp(log))), -(shares @ np.log(shares))
    assert entropy < nats < entropy + 0.05 < 4 * np.log(2) - 0.4


def test_gaussian_units_learn_mean_and_main_direction_of_real_data() -> None:
    rng = np.random.default_rng(0)
    direction, mean = np.array([0.8, 0.6, 0.0]), np.array([1.0, -0.5, 0.3])
    data = (mean + 2.0 * rng.choice([-1, 1], size=(2000, 1)) * direction + rng.normal(size=(2000, 3))).astype(
        np.float32
    )
    objective = built(3, "gaussian", 1, steps=1)
    learn(objective, data, 1500, 0.02)
    layer = objective.layer
    rebuilt = np.asarray(layer.infer_visible(layer.infer_hidden(data)))
    np.testing.assert_allclose(rebuilt.mean(axis=0), data.mean(axis=0), atol=0.1)
    kernel = np.asarray(layer.kernel)[:, 0]
    assert abs(kernel @ direction) / np.linalg.norm(kernel) > 0.99
    main = np.linalg.eigh(np.cov(rebuilt.T)).eigenvectors[:, -1]
    assert abs(main @ direction) > 0.99
    assert 4.0 * 0.7 < np.linalg.norm(kernel) < 4.0 * 1.3  # the two means lie 4 apart: h switches between them


def test_training_killed_between_batches_goes_on_to_the_same_bits() -> None:
    """Generator, chains and the place in the pseudo-likelihood's round are kept."""

    def fit(**arguments: Any) -> tuple[keras.Model, Any]:
        keras.utils.set_random_seed(3)
        model = keras.Sequential([keras.Input((4,)), RBM(3, name="rbm", return_reconstruction=True)])
        model.compile(keras.optimizers.SGD(0.1, momentum=0.5), "mse")
        objective = ContrastiveDivergence(steps=2, persistent=True, chains=5)
        greedy = Greedy([{"layer": "rbm", "objective": objective, "epochs": 2}])
        greedy.prepare(model, 10)
        model.compute_metrics(STATES, STATES, model(STATES), None)
        data = InMemory(DeviceArrays(Examples(np.tile(STATES, (5, 1)), np.tile(STATES, (5, 1)))), None, 8)
        return model, greedy.fit(model, data, epochs=2, steps_per_execution=1, **arguments)

    observer = Interrupting(13)  # in the second epoch
    with pytest.raises(Interrupted):
        fit(observer=observer)
    (whole, history), (again, continued) = fit(), fit(state=observer.state)
    for one, other in zip(whole.weights, again.weights, strict=True):
        np.testing.assert_array_equal(one, other)
    assert [row["pseudo_likelihood"] for row in history] == [row["pseudo_likelihood"] for row in continued]


@pytest.mark.parametrize(
    ("layer", "inputs", "line"),
    [
        (keras.layers.Dense(3, name="dense"), None, "trains layers RBM. 'dense' is a Dense"),
        (RBM(3, name="r"), [[0.0, 1.5]], r"need inputs in \[0, 1\]. Those of layer 'r' are in \[0, 1.5\]. Scale them"),
    ],
)
def test_what_does_not_fit_is_refused(layer: Any, inputs: Any, line: str) -> None:
    layer.build((None, 2))
    objective = ContrastiveDivergence()
    with pytest.raises(ValueError, match=line):
        objective.build(layer, (None, 2))
        objective.check(np.array(inputs))
