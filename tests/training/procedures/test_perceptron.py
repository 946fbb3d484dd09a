"""Perceptron and KernelPerceptron against the rule by hand, scikit-learn, and Novikoff's theorem."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from dltool.data.base import Examples
from dltool.data.pipelines.in_memory import DeviceArrays, InMemory
from dltool.library.datasets.two_moons import TwoMoons
from dltool.library.layers.kernel_expansion import KernelExpansion
from dltool.library.losses.perceptron_loss import PerceptronLoss
from dltool.training.outputs import coding
from dltool.training.procedures._margin import find_margin
from dltool.training.procedures.kernel_perceptron import KernelPerceptron
from dltool.training.procedures.perceptron import Perceptron
from tests.command_line import run

AND = Examples(np.array([(0, 0), (0, 1), (1, 0), (1, 1)], np.float32), np.array([0, 0, 0, 1], np.int32))
RNG = np.random.default_rng(3)


def clouds(count: int = 60, gap: float = 0.3) -> Examples:
    """Two classes in three dimensions, a strip between them."""
    x = RNG.normal(size=(4 * count, 3))
    score = x @ [1.0, -2.0, 0.5] - 0.4
    x, score = x[np.abs(score) > gap][:count], score[np.abs(score) > gap][:count]
    return Examples(x.astype(np.float32), (score > 0).astype(np.int32))


class Scored:
    """Loss and accuracy of scores in NumPy: compiling Keras's would take most of these tests' time."""

    def __init__(self, model: Any) -> None:
        self.model = model

    def renew(self) -> None: ...

    def run(self, pipeline: Any, steps: int | None = None) -> dict[str, float]:
        pairs = [(np.asarray(self.model(x))[:, 0], 2 * np.asarray(y) - 1) for x, y in pipeline.batches()]
        margins = np.concatenate([score * sign for score, sign in pairs])
        return {"loss": float(np.maximum(0, -margins).mean()), "accuracy": float((margins > 0).mean())}


class Kept:
    """Keeps the state after each epoch."""

    def __init__(self) -> None:
        self.states: list[Any] = []

    def begun(self, procedure: Any) -> None: ...

    def advanced(self, procedure: Any) -> None: ...

    def epoch_ended(self, procedure: Any, row: dict[str, float]) -> None:
        self.states.append(procedure.state())


def fit(procedure: Any, examples: Examples, layer: Any = None, **settings: Any) -> tuple[Any, list[dict[str, float]]]:
    """Train a linear model, by default from w = 0 in stored order; the model and its history."""
    layer = layer or keras.layers.Dense(1, kernel_initializer="zeros")
    model = keras.Sequential([keras.Input(examples.x.shape[1:]), layer])
    model.compile("sgd", PerceptronLoss())
    train = InMemory(DeviceArrays(examples), None, settings.pop("batch_size", 7))
    procedure.prepare(model, train.steps)
    settings = {"shuffle": False, "epochs": 50, "evaluation": Scored(model), **settings}
    history = procedure.fit(model, train, **settings)
    return model, history


def test_and_takes_the_updates_worked_by_hand() -> None:
    """From w = (0, 0), b = 0, order 00, 01, 10, 11; a score of 0 is a mistake, y = -1, -1, -1, +1.

    Epoch 1: 00 scores 0: b = -1. 01 scores -1, 10 scores -1: right. 11 scores -1: w = (1, 1), b = 0.
    Epoch 2: 00 scores 0: b = -1. 01 scores 0: w = (1, 0), b = -2. 10 scores -1. 11 scores -1: w = (2, 1), b = -1.
    Epoch 3: 00: -1. 01 scores 0: w = (2, 0), b = -2. 10 scores 0: w = (1, 0), b = -3. 11 scores -2: w = (2, 1), b = -2.
    """
    procedure = Perceptron()
    seen = []
    for epochs in (1, 2, 3):
        model, history = fit(Perceptron(), AND, epochs=epochs)
        seen.append([*model.get_weights()[0][:, 0], *model.get_weights()[1]])
    assert seen == [[1, 1, 0], [2, 1, -1], [2, 1, -2]]
    assert [row["updates"] for row in history] == [2, 5, 8] and [row["mistakes"] for row in history] == [2, 3, 3]
    model, history = fit(procedure, AND)
    assert history[-1]["accuracy"] == 1 and history[-1]["mistakes"] == 0 and history[-1]["loss"] == 0


def test_slide_nines_sign_of_zero_is_plus_one() -> None:
    """With g(0) = +1 a positive sample that scores 0 is right: no update at w = 0."""
    positive = Examples(np.ones((3, 2), np.float32), np.ones(3, np.int32))
    model, history = fit(Perceptron(tie="positive"), positive)
    assert history[0]["updates"] == 0 and not np.any(model.get_weights()[0])
    assert fit(Perceptron(), positive)[1][0]["updates"] == 1


@pytest.mark.parametrize("batch_size", [1, 16, 100])
def test_weights_after_each_epoch_are_scikit_learns(batch_size: int) -> None:
    from sklearn import linear_model

    examples = clouds()
    for epochs in (1, 2, 4):
        model, _ = fit(Perceptron(), examples, epochs=epochs, batch_size=batch_size)
        twin = linear_model.Perceptron(shuffle=False, penalty=None, tol=None, max_iter=epochs)
        twin.fit(examples.x.astype(np.float64), examples.y)
        kernel, bias = model.get_weights()
        np.testing.assert_allclose(kernel[:, 0], twin.coef_[0], rtol=1e-6)
        assert bias[0] == twin.intercept_[0]


class Answered(Scored):
    """The same of several units, each against the rest."""

    def run(self, pipeline: Any, steps: int | None = None) -> dict[str, float]:
        pairs = [(np.asarray(self.model(x)), np.asarray(y)) for x, y in pipeline.batches()]
        return {"loss": 0.0, "accuracy": float(np.mean([np.mean(scores.argmax(1) == y) for scores, y in pairs]))}


def test_of_three_classes_each_unit_learns_one_against_the_rest_as_scikit_learns() -> None:
    from sklearn import linear_model

    near = np.array([(0, 0), (4, 0), (0, 4)])[np.arange(60) % 3]
    examples = Examples((near + RNG.normal(size=(60, 2))).astype(np.float32), (np.arange(60) % 3).astype(np.int32))
    rows: list[dict[str, float]] = []
    for epochs in (1, 3):
        procedure, layer = Perceptron(), keras.layers.Dense(3, kernel_initializer="zeros")
        model = keras.Sequential([keras.Input((2,)), layer])
        model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        train = InMemory(DeviceArrays(examples), None, 7)
        procedure.prepare(model, train.steps)
        rows = procedure.fit(
            model,
            train,
            shuffle=False,
            epochs=epochs,
            evaluation=Answered(model),  # type: ignore[arg-type]
        )
        twin = linear_model.Perceptron(shuffle=False, penalty=None, tol=None, max_iter=epochs)
        twin.fit(examples.x.astype(np.float64), examples.y)
        np.testing.assert_allclose(layer.kernel, twin.coef_.T, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(layer.bias, twin.intercept_)
    assert rows[-1]["updates"] == sum(row["mistakes"] for row in rows) > 0
    assert rows[-1]["accuracy"] > 0.8 and "mistakes in epoch 3, the last" in procedure.remarks()[0]


@pytest.mark.parametrize("seed", range(3))
def test_updates_stay_within_novikoffs_bound_for_any_order(seed: int) -> None:
    procedure, examples = Perceptron(), clouds()
    _, history = fit(procedure, examples, shuffle=True, seed=seed)
    assert history[-1]["mistakes"] == 0 and len(history) < 50
    (largest,) = procedure._find_margins()
    assert history[-1]["updates"] <= (largest.radius / largest.gamma) ** 2
    (remark,) = procedure.remarks()
    assert "no mistake in epoch" in remark and "Novikoff's bound (R / gamma)^2" in remark


def test_the_largest_margin_is_that_of_a_support_vector_machine() -> None:
    from sklearn.svm import SVC

    examples = clouds(gap=0.3)
    signed = (2 * examples.y - 1)[:, None] * np.hstack([examples.x, np.ones((len(examples), 1))])
    both = np.vstack([signed, -signed])  # symmetric, so that the machine's own intercept is 0
    machine = SVC(kernel="linear", C=1e9, tol=1e-8).fit(both, np.repeat([1, -1], len(signed)))
    found = find_margin(signed)
    assert found is not None
    assert found.gamma == pytest.approx(1 / np.linalg.norm(machine.coef_), rel=1e-4)
    assert found.radius == pytest.approx(np.linalg.norm(signed, axis=1).max())
    opposite = find_margin(np.array([[1.0, 0.0], [-1.0, 0.1], [0.0, -1.0]]))
    assert opposite is not None and opposite.gamma == 0


def by_hand(x: np.ndarray, y: np.ndarray, kernel: str, epochs: int, **arguments: float) -> np.ndarray:
    """The kernel perceptron in its plainest form: the coefficients after some epochs in stored order."""
    from sklearn.metrics.pairwise import pairwise_kernels

    gram = pairwise_kernels(x, metric=kernel, **arguments)
    a = np.zeros(len(x))
    for _ in range(epochs):
        for i in range(len(x)):
            if y[i] * sum(a[j] * gram[j, i] for j in range(len(x))) <= 0:
                a[i] += y[i]
    return a


@pytest.mark.parametrize(("kernel", "arguments"), [("rbf", {"gamma": 2.0}), ("polynomial", {"degree": 3}),
                                                   ("laplacian", {"gamma": 1.0})])  # fmt: skip
def test_dual_coefficients_are_those_of_the_rule_by_hand(kernel: str, arguments: dict[str, float]) -> None:
    moons = TwoMoons(samples=50).read("train")
    layer: Any = KernelExpansion(kernel=kernel, **arguments)  # type: ignore[arg-type]
    layer.adapt(moons.x)
    model, history = fit(KernelPerceptron(), moons, layer, epochs=3)
    expected = by_hand(moons.x.astype(float), 2 * moons.y - 1, kernel, len(history), **arguments)
    np.testing.assert_array_equal(layer.coefficients[:, 0], expected)
    assert history[-1]["support"] == np.count_nonzero(expected)


def test_a_linear_kernel_gives_the_weights_of_the_perceptron_without_bias() -> None:
    examples = clouds()
    layer = KernelExpansion(kernel="linear")
    layer.adapt(examples.x)
    fit(KernelPerceptron(), examples, layer, epochs=3)
    dense = keras.layers.Dense(1, use_bias=False, kernel_initializer="zeros")
    model, _ = fit(Perceptron(), examples, dense, epochs=3)
    np.testing.assert_allclose(examples.x.T @ layer.coefficients.numpy(), model.get_weights()[0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("recipe", ["classics/kernel-perceptron", "classics/kernel-perceptron-circles"])
def test_kernel_perceptron_makes_no_training_error_and_is_near_a_support_vector_machine(recipe: str) -> None:
    from sklearn.svm import SVC

    from dltool.recipe import build, reading

    loaded = reading.load(recipe)
    dataset = build.dataset(loaded.section("data", "dataset"))
    gamma = loaded.plain()["model"][0]["KernelExpansion"]["gamma"]
    train, test = dataset.read("train"), dataset.read("test")
    layer = KernelExpansion(gamma=gamma)
    layer.adapt(train.x)
    model, history = fit(KernelPerceptron(), train, layer, epochs=100, shuffle=True, seed=1, batch_size=1)
    assert history[-1]["accuracy"] == 1
    right = np.mean((np.asarray(model(test.x))[:, 0] > 0) == test.y)
    assert right > SVC(gamma=gamma).fit(train.x, train.y).score(test.x, test.y) - 0.01


def test_xor_is_solved_with_the_product_of_its_inputs_and_not_without(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    solved = run(capsys, "train", "classics/perceptron-xor", "--out", tmp_path / "xor")
    assert solved.status == 0 and "Novikoff's bound (R / gamma)^2 is 100.0" in solved.err
    with (tmp_path / "xor" / "history.csv").open(encoding="utf-8", newline="") as file:
        assert float(list(csv.DictReader(file))[-1]["accuracy"]) == 1
    linear = ("model.0.PolynomialFeatures.degree=1", "fit.epochs=9")
    failed = run(capsys, "train", "classics/perceptron-xor", *linear, "--out", tmp_path / "linear")
    assert failed.status == 0
    assert "These features are not linearly separable, so that the rule never comes to rest" in failed.err


@pytest.mark.parametrize("kind", [Perceptron, KernelPerceptron])
def test_training_in_two_sessions_gives_the_same_as_in_one(kind: Any) -> None:
    moons, kept = TwoMoons(samples=60, noise=0.4).read("train"), Kept()

    def train(**settings: Any) -> tuple[list[np.ndarray], list[dict[str, float]]]:
        layer = KernelExpansion(gamma=1.0) if kind is KernelPerceptron else None
        if layer is not None:
            layer.adapt(moons.x)
        model, history = fit(kind(), moons, layer, epochs=6, shuffle=True, **settings)
        return model.get_weights(), [row | {"seconds": 0} for row in history]

    whole, rows = train(observer=kept)
    assert len(rows) == 6 and rows[-1]["mistakes"] > 0
    weights, resumed = train(state=kept.states[2])
    for one, other in zip(whole, weights, strict=True):
        np.testing.assert_array_equal(one, other)
    assert resumed == rows


def test_perceptron_loss_is_the_distance_on_the_wrong_side() -> None:
    # y = +1, -1, -1 with scores -2, 3, -1: (2 + 3 + 0) / 3
    loss = PerceptronLoss()
    assert float(loss(np.array([1, 0, 0]), np.array([[-2.0], [3.0], [-1.0]]))) == pytest.approx(5 / 3)
    assert coding(loss) == ("binary", True)


def test_a_feature_that_is_no_number_ends_training() -> None:
    broken = Examples(np.array([[1.0, np.nan], [0.0, 1.0]], np.float32), np.array([0, 1], np.int32))
    with pytest.raises(FloatingPointError, match="loss became NaN"):
        fit(Perceptron(), broken)


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (keras.layers.Dense(1, activation="sigmoid"), "Its activation is sigmoid: remove it"),
        (keras.layers.Dense(1, kernel_regularizer="l2"), "would ignore the last layer's regularizer"),
        (keras.layers.LayerNormalization(), "Got LayerNormalization"),
    ],
)
def test_another_last_layer_is_refused(layer: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fit(Perceptron(), AND, layer)


def test_other_targets_kernels_and_words_are_refused() -> None:
    three = Examples(AND.x, np.array([0, 1, 2, 1], np.int32))
    with pytest.raises(ValueError, match="two classes, 0 and 1"):
        fit(Perceptron(), three)
    with pytest.raises(ValueError, match="classes 0 to 1, one a unit of the last layer"):
        fit(Perceptron(), three, keras.layers.Dense(2))
    with pytest.raises(ValueError, match="a KernelExpansion of 1 unit. Got Dense"):
        fit(KernelPerceptron(), AND)
    with pytest.raises(ValueError, match="'tie' parameter of Perceptron must be mistake or positive"):
        Perceptron(tie="negative")
    layer = KernelExpansion()
    layer.adapt(AND.x[::-1])
    with pytest.raises(ValueError, match="adapted to other samples"):
        fit(KernelPerceptron(), AND, layer)
