"""Procedures of second order against closed forms, scikit-learn and each other, in float64."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from dltool.data.base import Examples
from dltool.data.pipelines.in_memory import DeviceArrays, InMemory
from dltool.training.counting import count
from dltool.training.procedures._eigen_steps import lanczos
from dltool.training.procedures._procedure import Procedure
from dltool.training.procedures._truncated_cg import minimize_quadratic
from dltool.training.procedures.bfgs import BFGS
from dltool.training.procedures.conjugate_gradient import ConjugateGradient
from dltool.training.procedures.hessian_free import HessianFree
from dltool.training.procedures.lbfgs import LBFGS
from dltool.training.procedures.newton import Newton
from dltool.training.procedures.saddle_free_newton import SaddleFreeNewton
from tests.command_line import run

GENERATOR = np.random.default_rng(8)
EXAMPLES, INPUTS, CLASSES = 40, 6, 3
X = GENERATOR.normal(size=(EXAMPLES, INPUTS)) * [1, 2, 1, 3, 1, 0.5]
X = X.astype(np.float32).astype(float)  # Keras's inputs are float32 whatever the policy
Y = X @ GENERATOR.normal(size=(INPUTS, 1)) + 1 + GENERATOR.normal(size=(EXAMPLES, 1))
KINDS = GENERATOR.integers(CLASSES, size=EXAMPLES)
C = 2.0  # of LogisticRegression: J = mean loss + |W|^2 / (2 C examples)


@pytest.fixture(autouse=True)
def _float64() -> Iterator[None]:
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float64")
    yield
    keras.config.set_dtype_policy(policy)


class Watcher:
    """Keeps the state after each epoch, and that between its step and its row of the history."""

    def __init__(self) -> None:
        self.states: list[Any] = []
        self.between: list[Any] = []

    def begun(self, procedure: Procedure) -> None: ...

    def advanced(self, procedure: Procedure) -> None:
        self.between.append(procedure.state())

    def epoch_ended(self, procedure: Procedure, row: dict[str, float]) -> None:
        self.states.append(procedure.state())


def fit(
    procedure: Procedure, model: Any, x: np.ndarray, y: np.ndarray, epochs: int = 50, **options: Any
) -> list[dict[str, float]]:
    procedure.prepare(model, 1)
    train = InMemory(DeviceArrays(Examples(x, y)), None, 16)
    count(model)
    model.compute_loss(x[:1], y[:1], model(x[:1]), None, training=False)
    return procedure.fit(model, train, epochs=epochs, **options)


def compiled(layers: list[Any], loss: Any, inputs: int = INPUTS) -> keras.Model:
    keras.utils.set_random_seed(5)
    model = keras.Sequential([keras.Input((inputs,)), *layers])
    model.compile(loss=loss)
    return model


def product_of_two() -> keras.Model:
    """J = (a b - 1)^2 for x = y = 1: a saddle at a = b = 0, minima where a b = 1."""
    model = compiled([keras.layers.Dense(1, use_bias=False), keras.layers.Dense(1, use_bias=False)], "mse", 1)
    model.set_weights([np.array([[0.3]]), np.array([[-0.1]])])
    return model


ONE = np.ones((1, 1))


@pytest.mark.parametrize("procedure", [ConjugateGradient, pytest.param(Newton, marks=pytest.mark.slow)])
def test_a_quadratic_of_n_weights_takes_n_steps_of_conjugate_gradients_and_one_of_newton(procedure: Any) -> None:
    model = compiled([keras.layers.Dense(1)], "mse")
    history = fit(procedure(gradient_tolerance=1e-8), model, X, Y)
    assert len(history) <= (INPUTS + 1 if procedure is ConjugateGradient else 1)
    exact = np.linalg.lstsq(np.c_[X, np.ones(EXAMPLES)], Y, rcond=None)[0]
    np.testing.assert_allclose(np.concatenate(model.get_weights(), axis=None), exact.ravel(), atol=1e-8)


@pytest.mark.parametrize("procedure", [LBFGS, pytest.param(BFGS, marks=pytest.mark.slow)])
def test_softmax_regression_ends_at_scikit_learns_optimum(procedure: Any, capsys: pytest.CaptureFixture[str]) -> None:
    from sklearn.linear_model import LogisticRegression

    penalty = 1 / (2 * C * EXAMPLES)
    dense = keras.layers.Dense(CLASSES, kernel_regularizer=keras.regularizers.L2(penalty))
    model = compiled([dense], keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    history = fit(procedure(gradient_tolerance=1e-6), model, X, KINDS)
    twin = LogisticRegression(C=C, tol=1e-10, max_iter=1000).fit(X, KINDS)
    nats = -np.log(twin.predict_proba(X)[np.arange(EXAMPLES), KINDS]).mean()
    assert history[-1]["loss"] == pytest.approx(nats + penalty * np.square(twin.coef_).sum(), abs=1e-8)
    np.testing.assert_allclose(model.get_weights()[0].T, twin.coef_, atol=1e-4)
    assert history[-1]["gradient_norm"] <= 1e-6 < history[-2]["gradient_norm"]
    assert f"epoch {len(history)}: converged: the gradient's norm is" in capsys.readouterr().err


def test_newton_is_drawn_to_the_saddle_that_saddle_free_newton_leaves() -> None:
    model = product_of_two()
    history = fit(Newton(gradient_tolerance=1e-9), model, ONE, ONE)
    np.testing.assert_allclose(np.ravel(model.get_weights()), 0, atol=1e-9)
    assert history[-1]["negative_share"] == 0.5 and history[-1]["loss"] == pytest.approx(1)
    model = product_of_two()
    history = fit(SaddleFreeNewton(gradient_tolerance=1e-9), model, ONE, ONE)
    assert float(np.prod(model.get_weights())) == pytest.approx(1) and history[-1]["loss"] < 1e-15
    losses = [row["loss"] for row in history]
    assert losses == sorted(losses, reverse=True)


@pytest.mark.slow
def test_a_krylov_subspace_of_full_rank_gives_the_step_of_all_eigenvectors() -> None:
    exact = fit(SaddleFreeNewton(), model := product_of_two(), ONE, ONE, epochs=2)
    weights = model.get_weights()
    krylov = fit(SaddleFreeNewton(exact_weights=1, rank=2), model := product_of_two(), ONE, ONE, epochs=2)
    np.testing.assert_allclose(np.ravel(model.get_weights()), np.ravel(weights), rtol=1e-9)
    assert krylov[-1]["negative_share"] == exact[-1]["negative_share"]


def test_lanczos_finds_the_ends_of_a_spectrum() -> None:
    turned = np.linalg.qr(GENERATOR.normal(size=(60, 60)))[0]
    values = np.concatenate([[-5.0], GENERATOR.uniform(0, 1, 58), [9.0]])
    matrix = turned @ np.diag(values) @ turned.T
    diagonal, beside, basis = lanczos(lambda v: matrix @ v, GENERATOR.normal(size=60), 20)
    np.testing.assert_allclose(basis @ basis.T, np.eye(20), atol=1e-12)
    small = np.diag(diagonal) + np.diag(beside, 1) + np.diag(beside, -1)
    np.testing.assert_allclose(basis @ matrix @ basis.T, small, atol=1e-12)
    np.testing.assert_allclose(np.linalg.eigvalsh(small)[[0, -1]], [-5, 9], atol=1e-10)


def test_truncated_conjugate_gradients_reach_the_minimum_and_end_where_progress_slows() -> None:
    root = GENERATOR.normal(size=(30, 30))
    matrix, linear = root @ root.T + np.eye(30), GENERATOR.normal(size=30)
    points = minimize_quadratic(lambda v: matrix @ v, linear, np.zeros(30), np.diag(matrix), 100)
    best = np.linalg.solve(matrix, linear)
    assert points[-1].value == pytest.approx(-0.5 * linear @ best, rel=1e-2) and points[-1].iteration < 100
    for point in points:
        exact = 0.5 * point.point @ matrix @ point.point - linear @ point.point
        assert point.value == pytest.approx(exact)
    again = minimize_quadratic(lambda v: matrix @ v, linear, best + 1e-3, np.diag(matrix), 100)
    assert again[0].value == pytest.approx(-0.5 * linear @ best, rel=1e-3)


def test_hessian_free_solves_a_least_squares_problem_as_its_damping_falls() -> None:
    model = compiled([keras.layers.Dense(1)], "mse")
    history = fit(HessianFree(damping=1e-3, curvature_examples=EXAMPLES), model, X, Y, epochs=15)
    exact = np.linalg.lstsq(np.c_[X, np.ones(EXAMPLES)], Y, rcond=None)
    assert history[-1]["loss"] == pytest.approx(float(exact[1][0]) / EXAMPLES, rel=1e-6)
    first, second = history[:2]
    assert first["reduction_ratio"] == pytest.approx(1, abs=0.02)  # a quadratic keeps its promise
    assert second["damping"] == pytest.approx(first["damping"] * 2 / 3)


@pytest.mark.parametrize(
    "make",
    [
        LBFGS,
        pytest.param(ConjugateGradient, marks=pytest.mark.slow),
        pytest.param(BFGS, marks=pytest.mark.slow),
        pytest.param(Newton, marks=pytest.mark.slow),
        pytest.param(SaddleFreeNewton, marks=pytest.mark.slow),
        pytest.param(HessianFree, marks=pytest.mark.slow),
    ],
)
def test_training_goes_on_from_a_state_to_the_same_bits(make: Any) -> None:
    watcher, model = Watcher(), product_of_two()
    options = {"gradient_tolerance": 0.0}
    whole = fit(make(**options), model, ONE, ONE, epochs=4, observer=watcher)
    end = model.get_weights()
    assert len(whole) == 4
    for state in (watcher.states[1], watcher.between[1]):
        model = product_of_two()
        parts = fit(make(**options), model, ONE, ONE, epochs=4, state=state)
        assert [{**row, "seconds": 0} for row in parts] == [{**row, "seconds": 0} for row in whole]
        np.testing.assert_array_equal(model.get_weights(), end)
    ended = dataclasses.replace(watcher.between[1], stopped=True)  # the step had said that training ends
    parts = fit(make(**options), product_of_two(), ONE, ONE, epochs=4, state=ended)
    assert [{**row, "seconds": 0} for row in parts] == [{**row, "seconds": 0} for row in whole[:2]]


def test_a_loss_that_is_not_finite_is_an_error() -> None:
    model = product_of_two()
    model.set_weights([np.array([[np.nan]]), np.array([[1.0]])])
    with pytest.raises(FloatingPointError, match="loss became NaN"):
        fit(LBFGS(), model, ONE, ONE)


RECIPE = """\
data: {dataset: Digits, validation_split: 0.1}
model: [{Rescaling: 0.0625}, Flatten, LAYER, {Dense: 10}]
compile: {loss: {SparseCategoricalCrossentropy: {from_logits: true}}, metrics: [accuracy]}
procedure: PROCEDURE
fit: {epochs: 2}
"""


@pytest.mark.parametrize(
    ("layer", "procedure", "message"),
    [
        ("{Dropout: {rate: 0.5}}", "LBFGS", "procedure.LBFGS: needs a loss that depends on the weights alone, but "
         "layer 'dropout' (Dropout) draws random numbers. Remove the layer."),
        ("BatchNormalization", "Newton", "procedure.Newton: needs a loss that depends on the weights alone, but "
         "layer 'batch_normalization' (BatchNormalization) normalises by the batch. Remove the layer."),
        ("{Dense: 9}", "{LBFGS: {memory: 0}}", "The 'memory' parameter of LBFGS must be an int >= 1. Got 0 instead."),
    ],
)  # fmt: skip
def test_what_does_not_suit_is_refused_at_the_recipes_line(
    layer: str, procedure: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "r.yaml"
    path.write_text(RECIPE.replace("LAYER", layer).replace("PROCEDURE", procedure))
    done = run(capsys, "train", path, "--out", tmp_path / "run")
    assert done.status == 2 and message in done.err and f"{path}:4:" in done.err
