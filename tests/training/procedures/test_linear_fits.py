"""LeastSquares and ProximalGradient against NumPy, scikit-learn and closed forms."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

from dltool.data.base import Examples
from dltool.data.pipelines.in_memory import DeviceArrays, InMemory
from dltool.library.datasets.noisy_sine import NoisySine
from dltool.library.layers.rbf import RBF
from dltool.training.procedures.least_squares import LeastSquares, solve
from dltool.training.procedures.proximal_gradient import Lasso, ProximalGradient, threshold

RNG = np.random.default_rng(5)
X = RNG.normal(size=(40, 6)) + 2.0
Y = X @ RNG.normal(size=(6, 2)) + 3.0 + 0.3 * RNG.normal(size=(40, 2))


class Squares:
    """The mean squared error in NumPy: compiling Keras's would take most of these tests' time."""

    def __init__(self, model: Any) -> None:
        self.model = model

    def renew(self) -> None: ...

    def run(self, pipeline: Any, steps: int | None = None) -> dict[str, float]:
        errors = [np.asarray(self.model(x)) - np.reshape(y, (len(y), -1)) for x, y in pipeline.batches()]
        return {"loss": float(np.mean(np.concatenate(errors) ** 2))}


def fit(procedure: Any, x: np.ndarray, y: np.ndarray, *layers: Any, **settings: Any) -> tuple[Any, list[Any]]:
    """Train a model of these layers and a Dense; the model and its history."""
    policy = settings.pop("dtype", None)
    last = keras.layers.Dense(y.size // len(y), use_bias=settings.pop("use_bias", True), dtype=policy)
    model = keras.Sequential([keras.Input(x.shape[1:], dtype=policy), *layers, last])
    model.compile("sgd", settings.pop("loss", "mse"))
    train = InMemory(DeviceArrays(Examples(x, y)), None, settings.pop("batch_size", 16))
    procedure.prepare(model, train.steps)
    return model, procedure.fit(model, train, **{"epochs": 1, "evaluation": Squares(model), **settings})


def batches(size: int = 7) -> Any:
    return ((X[start : start + size], Y[start : start + size]) for start in range(0, len(X), size))


def test_least_squares_are_numpys_whatever_the_batches() -> None:
    expected = np.linalg.lstsq(np.hstack([X, np.ones((40, 1))]), Y, rcond=None)[0]
    for size in (1, 7, 40):
        found = solve(batches(size))
        np.testing.assert_allclose(np.vstack([found.kernel, found.bias]), expected, rtol=1e-8)
    without = solve(batches(), use_bias=False)
    np.testing.assert_allclose(without.kernel, np.linalg.lstsq(X, Y, rcond=None)[0], rtol=1e-8)
    assert not without.bias.any()


@pytest.mark.parametrize("alpha", [0.01, 2.0, 100.0])
@pytest.mark.parametrize("use_bias", [True, False])
def test_ridge_is_scikit_learns(alpha: float, use_bias: bool) -> None:
    from sklearn.linear_model import Ridge

    twin = Ridge(alpha, solver="cholesky", fit_intercept=use_bias).fit(X, Y)
    found = solve(batches(), alpha, use_bias)
    np.testing.assert_allclose(found.kernel, twin.coef_.T, rtol=1e-8)
    np.testing.assert_allclose(found.bias, twin.intercept_, rtol=1e-8)
    assert found.error == pytest.approx(np.mean((twin.predict(X) - Y) ** 2), rel=1e-8)


def test_a_penalised_bias_solves_the_normal_equations_of_slide_19_and_underfits() -> None:
    extended = np.hstack([X, np.ones((40, 1))])
    expected = np.linalg.solve(extended.T @ extended + 5 * np.eye(7), extended.T @ Y)
    found = solve(batches(), 5.0, penalise_bias=True)
    np.testing.assert_allclose(np.vstack([found.kernel, found.bias]), expected, rtol=1e-8)
    assert found.error > solve(batches(), 5.0).error


def test_dependent_features_have_the_shortest_solution_and_a_remark() -> None:
    doubled = np.hstack([X, X[:, :1]])
    procedure = LeastSquares()
    model, _ = fit(procedure, doubled, Y, dtype="float64")
    expected = np.linalg.lstsq(np.hstack([doubled, np.ones((40, 1))]), Y, rcond=None)[0]
    np.testing.assert_allclose(model.get_weights()[0], expected[:-1], rtol=1e-7)
    assert "rank 7 of 8: of infinitely many solutions this is the shortest" in procedure.remarks()[0]
    one = LeastSquares(alpha=0.1)
    fit(one, doubled, Y, dtype="float64")
    assert one.remarks() == []


def test_huge_weights_that_float32_cannot_hold_are_reported() -> None:
    near = np.hstack([X, X[:, :1] + 1e-7 * RNG.normal(size=(40, 1))])
    procedure = LeastSquares()
    fit(procedure, near, Y + 0.1 * RNG.normal(size=Y.shape), dtype="float64")
    assert procedure.remarks() == []
    fit(procedure, near.astype(np.float32), 1e4 * RNG.normal(size=(40, 2)).astype(np.float32))
    assert "are rounded to float32" in procedure.remarks()[-1]


def test_least_squares_train_in_one_epoch_to_the_error_of_the_history() -> None:
    procedure = LeastSquares(alpha=2.0)
    model, history = fit(procedure, X.astype(np.float32), Y.astype(np.float32), epochs=5)
    assert len(history) == 1 and procedure.solution is not None
    assert history[0]["loss"] == pytest.approx(procedure.solution.error, rel=1e-4)
    np.testing.assert_allclose(model.get_weights()[0], procedure.solution.kernel, rtol=1e-5)


def sine(sigma: float = 0.1) -> tuple[np.ndarray, np.ndarray, RBF, np.ndarray]:
    """30 samples of the noisy sine, a layer of one kernel a sample, and its outputs in float64."""
    train = NoisySine().read("train")
    layer = RBF(centers="samples", sigma=sigma)
    layer.adapt(train.x)
    x = train.x.astype(np.float64)
    return train.x, train.y, layer, np.exp(-((x - x.T) ** 2) / (2 * sigma**2))


def test_kernels_are_fixed_features_of_a_ridge_regression() -> None:
    from sklearn.linear_model import Ridge

    x, y, layer, features = sine()
    model, _ = fit(LeastSquares(alpha=2.0), x, y, layer)
    twin = Ridge(2.0).fit(features, y)
    np.testing.assert_allclose(model.layers[-1].kernel[:, 0], twin.coef_, atol=1e-5)
    np.testing.assert_allclose(layer.centers, x)  # phase one's centres stay


@pytest.mark.parametrize("accelerated", [False, True])
def test_soft_thresholding_finds_the_support_and_objective_of_scikit_learns_lasso(accelerated: bool) -> None:
    from sklearn import linear_model

    x, y, layer, features = sine()
    twin = linear_model.Lasso(alpha=0.003, tol=1e-12, max_iter=10**6).fit(features, y)
    # 1 / steps is slow: with momentum 20,000 steps do what takes more than 200,000 without
    procedure = ProximalGradient(0.003, 20000 if accelerated else 2000, accelerated=accelerated, tolerance=1e-9)
    model, history = fit(procedure, x, y, layer, epochs=20)
    own = np.mean((twin.predict(features) - y) ** 2) / 2 + 0.003 * np.abs(twin.coef_).sum()
    kernel = model.layers[-1].kernel.numpy()[:, 0]
    if accelerated:
        assert history[-1]["objective"] == pytest.approx(own, rel=1e-6)
        np.testing.assert_array_equal(kernel != 0, twin.coef_ != 0)
        np.testing.assert_allclose(kernel, twin.coef_, atol=1e-3)
        assert len(history) < 20 and "of 30 weights are 0, with a duality gap of" in procedure.remarks()[0]
    else:
        assert own * (1 - 1e-7) <= history[-1]["objective"] <= own + history[-1]["gap"]
        assert history[-1]["nonzero"] < 30 and [row["objective"] for row in history] == sorted(
            (row["objective"] for row in history), reverse=True
        )


def test_orthogonal_features_are_thresholded_in_one_step() -> None:
    """With features of covariance I the solution is S(least squares, l1): worked by hand."""
    basis = np.linalg.qr(np.hstack([np.ones((40, 1)), RNG.normal(size=(40, 3))]))[0][:, 1:] * np.sqrt(40)
    y = basis @ np.array([[2.0], [-0.5], [0.1]]) + 7.0
    model, history = fit(ProximalGradient(0.3, iterations=1), basis, y, dtype="float64")
    np.testing.assert_allclose(model.get_weights()[0][:, 0], [1.7, -0.2, 0], atol=1e-7)  # 2 - 0.3, -(0.5 - 0.3), 0
    assert model.get_weights()[0][2, 0] == 0 and model.get_weights()[1][0] == pytest.approx(7.0)
    assert history[0]["nonzero"] == 2 and history[0]["gap"] < 1e-6
    np.testing.assert_array_equal(threshold(np.array([0.2, -0.2, 1.0, -3.0]), 0.5), [0, 0, 0.5, -2.5])


def test_the_gap_bounds_the_distance_to_the_minimum() -> None:
    from sklearn import linear_model

    problem, targets = Lasso(X, Y[:, :1], True), Y[:, 0]
    twin = linear_model.Lasso(alpha=0.1, tol=1e-12, max_iter=10**6).fit(X, targets)
    least = problem.objective(twin.coef_[:, None], 0.1)
    assert least == pytest.approx(np.mean((twin.predict(X) - targets) ** 2) / 2 + 0.1 * np.abs(twin.coef_).sum())
    assert abs(problem.gap(twin.coef_[:, None], 0.1)) < 1e-8
    for scale in (0.0, 0.5, 0.9, 2.0):
        kernel = scale * twin.coef_[:, None]
        assert problem.gap(kernel, 0.1) >= problem.objective(kernel, 0.1) - least - 1e-12


class Kept:
    """Keeps the state after each epoch."""

    def __init__(self) -> None:
        self.states: list[Any] = []

    def begun(self, procedure: Any) -> None: ...

    def advanced(self, procedure: Any) -> None: ...

    def epoch_ended(self, procedure: Any, row: dict[str, float]) -> None:
        self.states.append(procedure.state())


def test_soft_thresholding_in_two_sessions_gives_the_same_as_in_one() -> None:
    kept, ends = Kept(), []
    for settings in ({"observer": kept}, {"state": None}):
        if "state" in settings:
            settings = {"state": kept.states[1]}
        x, y, layer, _ = sine()
        procedure = ProximalGradient(0.003, 50, accelerated=True, tolerance=0)
        model, history = fit(procedure, x, y, layer, epochs=5, **settings)
        ends.append((model.get_weights(), [row | {"seconds": 0} for row in history]))
    assert ends[0][1] == ends[1][1]
    for one, other in zip(ends[0][0], ends[1][0], strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("procedure", [LeastSquares(), ProximalGradient(0.1)])
def test_data_that_are_no_numbers_end_training(procedure: Any) -> None:
    with pytest.raises(FloatingPointError, match="loss became NaN"):
        fit(procedure, np.where(X > 3, np.nan, X), Y)


def test_too_long_a_step_diverges() -> None:
    with pytest.raises(FloatingPointError, match="loss became"):
        fit(ProximalGradient(0.1, step=10.0), X, Y)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: LeastSquares(alpha=-1), "'alpha' parameter of LeastSquares must be a number >= 0"),
        (lambda: LeastSquares(penalise_bias=1), "'penalise_bias' parameter of LeastSquares"),  # type: ignore[arg-type]
        (lambda: LeastSquares(tolerance=1), "'tolerance' parameter of LeastSquares"),
        (lambda: ProximalGradient(0), "'l1' parameter of ProximalGradient must be a number > 0"),
        (lambda: ProximalGradient(1, iterations=0), "'iterations' parameter of ProximalGradient"),
        (lambda: ProximalGradient(1, step=-1), "'step' parameter of ProximalGradient"),
        (lambda: ProximalGradient(1, accelerated=2), "'accelerated' parameter"),  # type: ignore[arg-type]
        (lambda: ProximalGradient(1, tolerance=-1), "'tolerance' parameter of ProximalGradient"),
        (lambda: fit(LeastSquares(), X, Y, loss="mae"), "LeastSquares minimises squared errors: set compile.loss"),
    ],
)
def test_wrong_arguments_are_errors(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
