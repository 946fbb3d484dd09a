"""The recipes of linear models and classics against scikit-learn, NumPy and closed forms."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from dltool.data.base import Examples
from dltool.data.splits import split
from dltool.recipe import build, reading
from dltool.recipe.data import selected
from tests.command_line import run

RBF_NETS = ("uniform", "random", "kmeans", "growing-neural-gas", "three-phases")


def examples(recipe: str, *overrides: str) -> tuple[Examples, Examples]:
    """The training and test examples of a recipe."""
    loaded = reading.load(recipe, overrides)
    dataset = selected(loaded, build.dataset(loaded.section("data", "dataset")))
    parts = split(dataset)
    found = []
    for name in ("train", "test"):
        stored, indices = dataset.read(parts[name].part), parts[name].indices()
        found.append(stored if indices is None else stored.take(indices))
    return found[0], found[1]


def train(recipe: str, folder: Path, capsys: pytest.CaptureFixture[str], *overrides: str) -> dict[str, Any]:
    """The content of a recipe's metrics.json."""
    done = run(capsys, "train", recipe, *overrides, "--out", folder, "--overwrite", "-q")
    assert done.status == 0, done.err
    return dict(json.loads((folder / "metrics.json").read_text(encoding="utf-8")))


@pytest.mark.parametrize("steepness", [50, 100, 200, 400])
def test_two_sigmoids_make_the_bump_with_an_error_of_four_ln_2_by_their_steepness(steepness: float) -> None:
    """The integral over t of |H(t) - sigmoid(a t)| is 2 ln 2 / a, at each of two edges."""
    box, _ = examples("classics/sigmoid-bump", "data.dataset={Box: {samples: 20001}}")
    shifts = keras.initializers.Constant([-0.3 * steepness, -0.7 * steepness])
    hidden = keras.layers.Dense(2, "sigmoid", bias_initializer=shifts)
    hidden.kernel_initializer = keras.initializers.Constant(steepness)
    output = keras.layers.Dense(1, use_bias=False, kernel_initializer=keras.initializers.Constant([[1.0], [-1.0]]))
    bump = np.asarray(keras.Sequential([keras.Input((1,)), hidden, output])(box.x))[:, 0]
    assert np.mean(np.abs(bump - box.y)) == pytest.approx(4 * np.log(2) / steepness, rel=0.01)


def test_the_recipe_of_the_bump_finds_the_difference_of_its_sigmoids(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = train("classics/sigmoid-bump", tmp_path, capsys)["weights"]
    (rising,), (falling,) = weights["dense_1/kernel"]
    assert rising == pytest.approx(1, abs=0.07) and falling == pytest.approx(-1, abs=0.07)


@pytest.mark.recipes
def test_nets_of_radial_basis_units_are_as_good_as_kernel_ridge(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """MARKS: held-out mean squared error within 1.05 of kernel ridge, whose settings cross-validation chooses."""
    from sklearn.kernel_ridge import KernelRidge
    from sklearn.model_selection import GridSearchCV

    fitted, held = examples("classics/rbf-kmeans")
    grid = {"alpha": 10.0 ** np.arange(-4, 2), "gamma": [1, 2, 5, 10, 20, 50, 100, 200]}
    center = fitted.y.mean()
    twin = GridSearchCV(KernelRidge(kernel="rbf"), grid, cv=5, scoring="neg_mean_squared_error")
    twin.fit(fitted.x, fitted.y - center)
    error = np.mean((twin.predict(held.x) + center - held.y) ** 2)
    for name in RBF_NETS:
        figures = train(f"classics/rbf-{name}", tmp_path / name, capsys)
        assert figures["test"]["loss"] < 1.05 * error, name


@pytest.mark.recipes
@pytest.mark.parametrize("classes", [2, 3])
def test_logistic_and_softmax_regression_find_the_coefficients_of_scikit_learn(
    classes: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from sklearn.linear_model import LogisticRegression

    softmax = (
        "data.classes=null",
        "model.1.Dense={units: 3, kernel_initializer: zeros, kernel_regularizer: {L2: 0.004166666666666667}}",
        "compile.loss={SparseCategoricalCrossentropy: {from_logits: true}}",
        "fit.batch_size=120",
        "fit.epochs=600",
    )
    overrides = softmax if classes == 3 else ()
    fitted, _ = examples("classics/logistic-regression", *overrides)
    train("classics/logistic-regression", tmp_path, capsys, *overrides)
    x = (fitted.x - fitted.x.mean(axis=0)) / fitted.x.std(axis=0)
    twin = LogisticRegression(C=1.0, tol=1e-8, max_iter=10**5).fit(x, fitted.y)
    kernel, bias = keras.saving.load_model(tmp_path / "model.keras").layers[-1].get_weights()
    expected = twin.coef_.T, twin.intercept_
    if classes == 3:  # a constant added to all scores changes nothing: scikit-learn's biases add up to 0
        bias -= bias.mean()
    np.testing.assert_allclose(kernel, expected[0], atol=1e-3)
    np.testing.assert_allclose(bias, expected[1], atol=1e-3)


@pytest.mark.recipes
def test_the_delta_rule_ends_within_a_hundredth_of_least_squares(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fitted, _ = examples("classics/adaline")
    solution = np.polyfit(fitted.x[:, 0].astype(np.float64), fitted.y.astype(np.float64), 1)
    for recipe, tolerance in (("adaline", 1e-2), ("adaline-analytic", 1e-6)):
        weights = train(f"classics/{recipe}", tmp_path / recipe, capsys)["weights"]
        found = [weights["dense/kernel"][0][0], weights["dense/bias"][0]]
        np.testing.assert_allclose(found, solution, atol=tolerance)


@pytest.mark.recipes
def test_thirty_kernels_have_the_weights_of_scikit_learns_ridge_and_lasso(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Slides 52-54, on the recipes' own kernels; the penalised bias underfits, zeros of the lasso are zeros."""
    from sklearn.linear_model import Lasso, Ridge

    fitted, held = examples("classics/rbf-ridge")
    kernels = [np.exp(-((part.x - fitted.x.T) ** 2) / (2 * 0.05**2)) for part in (fitted, held)]
    twins = {"ridge": Ridge(2.0), "lasso": Lasso(0.003, tol=1e-10, max_iter=10**6)}
    errors = {}
    for name, twin in twins.items():
        twin.fit(kernels[0].astype(np.float64), fitted.y)
        errors[name] = np.mean((twin.predict(kernels[1]) - held.y) ** 2)
        figures = train(f"classics/rbf-{name}", tmp_path / name, capsys)
        assert figures["test"]["loss"] == pytest.approx(errors[name], rel=1e-3)
        kernel = keras.saving.load_model(tmp_path / name / "model.keras").layers[-1].kernel.numpy()[:, 0]
        np.testing.assert_allclose(kernel, twin.coef_, atol=2e-3)
        assert np.count_nonzero(kernel) == np.count_nonzero(twin.coef_)
    penalised = "procedure.LeastSquares.penalise_bias=true"
    underfit = train("classics/rbf-ridge", tmp_path / "bias", capsys, penalised)
    assert underfit["test"]["loss"] > 1.1 * errors["ridge"]
