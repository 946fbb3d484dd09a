"""Objectives of the autoencoder's family against NumPy: losses, noise, Jacobians, gradients, principal components."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from dltool.library.objectives._base import Objective
from dltool.library.objectives.autoencoder import Autoencoder
from dltool.library.objectives.contractive import Contractive
from dltool.library.objectives.denoising import Denoising
from dltool.recipe import catalogue

FEATURES, UNITS = 6, 4


def built(objective: Any, activation: str = "sigmoid") -> Any:
    keras.utils.set_random_seed(7)
    layer = keras.layers.Dense(UNITS, activation, bias_initializer=keras.initializers.RandomNormal(stddev=0.5))
    layer.build((None, FEATURES))
    objective.build(layer, (None, FEATURES))
    objective.bias.assign(np.random.default_rng(1).normal(size=FEATURES).astype("float32"))
    return objective


def batch(examples: int = 5) -> np.ndarray:
    return np.random.default_rng(0).random((examples, FEATURES)).astype("float32")


def sigmoid(a: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-a))


def reconstruction(x: np.ndarray, seen: np.ndarray, objective: Any) -> float:
    """Return the loss of the formula, in float64."""
    w, b = (weight.astype(float) for weight in objective.layer.get_weights())
    v, c = (np.asarray(one).astype(float) for one in objective.decoder())
    a = sigmoid(seen.astype(float) @ w + b) @ v + c
    if objective.loss == "squared_error":
        return float(np.mean(np.sum((x - a) ** 2, axis=1)))
    r = sigmoid(a)
    return float(np.mean(np.sum(-x * np.log(r) - (1 - x) * np.log(1 - r), axis=1)))


@pytest.mark.parametrize("loss", ["crossentropy", "squared_error"])
@pytest.mark.parametrize("tied", [True, False])
def test_reconstruction_is_the_formula_of_the_docstring(loss: str, tied: bool) -> None:
    objective = built(Autoencoder(loss, tied))
    figures, _ = objective.gradients(tf.constant(batch()))
    assert float(figures["reconstruction"]) == pytest.approx(reconstruction(batch(), batch(), objective), rel=1e-5)


@pytest.mark.parametrize(
    "objective", [Contractive(0.7), Contractive(0.7, "squared_error", tied=False)], ids=["tied", "untied"]
)
@pytest.mark.parametrize("activation", ["sigmoid", "tanh", "linear"])
def test_contraction_is_the_squared_norm_of_numerical_jacobians(objective: Any, activation: str) -> None:
    objective, x, step = built(objective, activation), batch(), 1e-3
    w, b = (weight.astype(float) for weight in objective.layer.get_weights())
    act: dict[str, Callable[..., Any]] = {"sigmoid": sigmoid, "tanh": np.tanh, "linear": lambda a: a}
    total = 0.0
    for row in x.astype(float):
        for feature in range(FEATURES):
            shift = step * np.eye(FEATURES)[feature]
            change = act[activation]((row + shift) @ w + b) - act[activation]((row - shift) @ w + b)
            total += float(np.sum((change / (2 * step)) ** 2))
    figures, _ = objective.gradients(tf.constant(x))
    assert float(figures["contraction"]) == pytest.approx(0.7 * total / len(x), rel=1e-4)
    plain = built(Autoencoder(objective.loss, objective.tied), activation)
    expected = plain.gradients(tf.constant(x))[0]["reconstruction"]
    assert float(figures["reconstruction"]) == pytest.approx(float(expected), rel=1e-6)


@pytest.mark.parametrize(
    "make",
    [Autoencoder, lambda: Autoencoder("squared_error", tied=False), lambda: Contractive(0.3)],
    ids=["tied", "untied", "contractive"],
)
def test_gradients_are_those_of_finite_differences(make: Callable[[], Any]) -> None:
    """Tied weights get the encoder's gradient and the decoder's; the penalty has second derivatives."""
    objective, x = built(make()), tf.constant(batch())
    _, gradients = objective.gradients(x)
    assert len(gradients) == len(objective.trainable) == (3 if objective.tied else 4)
    generator, step = np.random.default_rng(3), 1e-2
    for variable, gradient in zip(objective.trainable, gradients, strict=True):
        direction = generator.normal(size=variable.shape).astype("float32")
        start, values = variable.numpy(), []
        for sign in (1, -1):
            variable.assign(start + sign * step * direction)
            values.append(float(sum(objective.terms(x).values())))
        variable.assign(start)
        slope = (values[0] - values[1]) / (2 * step)
        assert float(np.sum(np.asarray(gradient) * direction)) == pytest.approx(slope, rel=5e-3, abs=1e-3), (
            variable.path
        )


def test_masking_destroys_its_fraction_of_features_and_keeps_the_rest() -> None:
    objective, x = built(Denoising(0.3)), 1 + batch(4000)
    first, second = (np.asarray(objective.corrupt(tf.constant(x))) for _ in range(2))
    assert set(np.unique(np.isclose(first, x) | (first == 0))) == {True}
    assert np.mean(first == 0) == pytest.approx(0.3, abs=0.01)  # sd 0.003
    assert np.mean(first != second) == pytest.approx(2 * 0.3 * 0.7, abs=0.02)  # drawn afresh


def test_salt_and_pepper_sets_halves_to_0_and_1_and_gaussian_noise_has_its_deviation() -> None:
    x = 0.25 + batch(4000) / 2
    corrupted = np.asarray(built(Denoising(0.4, "salt_and_pepper")).corrupt(tf.constant(x)))
    assert [np.mean(corrupted == value) for value in (0, 1)] == pytest.approx([0.2, 0.2], abs=0.01)
    noise = np.asarray(built(Denoising(0.4, "gaussian")).corrupt(tf.constant(x))) - x
    assert (noise.mean(), noise.std()) == pytest.approx((0, 0.4), abs=0.01)


def test_the_clean_input_is_what_denoising_reconstructs() -> None:
    objective = built(Denoising(0.5))
    state = objective.generator.state.numpy()
    seen = np.asarray(objective.corrupt(tf.constant(batch())))
    objective.generator.state.assign(state)
    figures, _ = objective.gradients(tf.constant(batch()))
    assert float(figures["reconstruction"]) == pytest.approx(reconstruction(batch(), seen, objective), rel=1e-5)


def test_a_linear_autoencoder_reaches_the_error_of_principal_components() -> None:
    """The squared error of the best subspace of 4 dimensions: singular values beyond the 4th, by NumPy.

    The inputs are centred, so the biases have nothing to do.
    """
    x = np.random.default_rng(2).normal(size=(50, FEATURES)) @ np.diag([3, 2.5, 2, 1.5, 0.5, 0.3])
    x = (x - x.mean(axis=0)).astype("float32")
    best = float(np.sum(np.linalg.svd(x, compute_uv=False)[UNITS:] ** 2) / len(x))
    objective = built(Autoencoder("squared_error"), "linear")
    optimizer = keras.optimizers.Adam(0.05)
    optimizer.build(objective.trainable)

    @tf.function
    def descend() -> Any:
        for _ in tf.range(600):
            _, gradients = objective.gradients(tf.constant(x))
            optimizer.apply(gradients, objective.trainable)
        return objective.gradients(tf.constant(x))[0]["reconstruction"]

    assert best <= float(descend()) * (1 + 1e-5) and float(descend()) == pytest.approx(best, rel=1e-3)


def test_every_objective_names_its_figures_and_captures_its_variables() -> None:
    names = catalogue.known("objectives")
    assert {"Autoencoder", "Denoising", "Contractive"} <= set(names)
    for name in ("Autoencoder", "Denoising", "Contractive"):
        objective = built(catalogue.find("objectives", name)())
        figures, gradients = objective.gradients(tf.constant(batch()))
        assert isinstance(objective, Objective) and tuple(figures) == objective.FIGURES
        assert len(gradients) == len(objective.trainable)
        layers = {id(variable) for variable in objective.layer.variables}
        assert {id(one) for one in objective.trainable} <= layers | {id(one) for one in objective.variables}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Autoencoder("mse"), "'loss' parameter of Autoencoder must be one of 'crossentropy', 'squared_error'"),
        (lambda: Denoising(1.0), r"'corruption' parameter of Denoising must be a fraction in the range \[0.0, 1.0\)"),
        (lambda: Denoising(-1, "gaussian"), "'corruption' parameter of Denoising must be a finite number >= 0"),
        (lambda: Denoising(noise="pepper"), "'noise' parameter of Denoising must be one of"),
        (lambda: Contractive(-0.1), "'weight' parameter of Contractive must be a finite number >= 0"),
        (lambda: built(Contractive(), "softmax"), "unit by unit. That of layer 'dense.*' is softmax"),
        (lambda: Autoencoder().build(keras.layers.Conv2D(2, 3), (None, 5, 5, 1)), "trains Dense layers. 'conv2d"),
        (lambda: Autoencoder().build(keras.layers.Dense(2), (None, 5, 5)), r"have shape \(None, 5, 5\)"),
        (lambda: built(Autoencoder()).check(np.array([[0.0, 1.5]])), r"are in \[0, 1.5\]. Scale them, or set loss"),
        (lambda: built(Autoencoder()).check(np.array([[np.nan, 0.5]])), "cross-entropy needs inputs"),
    ],
)
def test_what_does_not_suit_is_refused(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
