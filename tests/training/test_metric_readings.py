"""Metrics that read outputs in another way than the loss are named; Keras's are usable with one unit and logits."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from scipy.special import expit
from sklearn.metrics import accuracy_score, f1_score, precision_score, recall_score, roc_auc_score

from dltool.library.metrics.bits_per_character import BitsPerCharacter
from dltool.library.metrics.perplexity import Perplexity
from dltool.training import metric_readings
from tests.command_line import run

GENERATOR = np.random.default_rng(3)
X = GENERATOR.normal(size=(60, 4)).astype("float32")
BINARY = (X[:, 0] + 0.8 * GENERATOR.normal(size=60) > 0).astype("int32")
THREE = GENERATOR.integers(3, size=60).astype("int32")
RECIPE = """\
# Two kinds by one unit, at a rate of 0.
data: {dataset: {Npz: {path: two.npz}}, test_split: 0.0}
model: [{Dense: {units: 1, kernel_initializer: ones}}]
compile: {optimizer: {SGD: {learning_rate: 0.0}}, loss: {BinaryCrossentropy: {from_logits: true}}, metrics: [accuracy]}
fit: {epochs: 1, batch_size: 7}
"""
SIGMOID = ("model.0.Dense.activation=sigmoid", "compile.loss=BinaryCrossentropy")


def model_of(loss: Any, metrics: list[Any], units: int = 3, activation: str | None = None) -> keras.Model:
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(units, activation=activation)])
    model.compile("sgd", loss, metrics=metrics)
    y = THREE if units > 1 else BINARY
    model.compute_metrics(X, y if units > 1 else y[:, None], model(X))
    return model


LOGITS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
TWO_LOGITS = keras.losses.BinaryCrossentropy(from_logits=True)


@pytest.mark.parametrize(
    ("metric", "remedy"),
    [
        (Perplexity, "set from_logits: true"),
        (BitsPerCharacter, "set from_logits: true"),
        (keras.metrics.SparseCategoricalCrossentropy, "set from_logits: true"),
        (lambda: "sparse_categorical_crossentropy", "set from_logits: true"),
    ],
)
def test_a_metric_of_probabilities_on_logits_is_named_with_its_remedy(metric: Any, remedy: str) -> None:
    (note,) = metric_readings.notes(model_of(LOGITS, [metric()]))
    assert "reads probabilities, but the model gives logits" in note and remedy in note
    assert not metric_readings.notes(model_of("sparse_categorical_crossentropy", [metric()], activation="softmax"))


@pytest.mark.parametrize(
    ("metric", "remedy"),
    [
        (keras.metrics.BinaryAccuracy, "set threshold: 0.0"),
        (keras.metrics.AUC, "set from_logits: true"),
        (keras.metrics.BinaryCrossentropy, "set from_logits: true"),
        (keras.metrics.Precision, "set thresholds: 0.0"),
        (keras.metrics.Recall, "set thresholds: 0.0"),
        (keras.metrics.TruePositives, "set thresholds: 0.0"),
        (lambda: keras.metrics.PrecisionAtRecall(0.5), "end the model in a sigmoid"),
    ],
)
def test_a_metric_of_one_sigmoid_unit_on_a_logit_is_named_with_its_remedy(metric: Any, remedy: str) -> None:
    (note,) = metric_readings.notes(model_of(TWO_LOGITS, [metric()], units=1))
    assert "reads probabilities, but the model gives logits" in note and remedy in note
    assert not metric_readings.notes(model_of("binary_crossentropy", [metric()], units=1, activation="sigmoid"))


@pytest.mark.parametrize(
    ("loss", "metrics", "activation", "words"),
    [
        (LOGITS, [Perplexity(from_logits=True)], None, None),
        (LOGITS, ["accuracy"], None, None),
        ("sparse_categorical_crossentropy", [Perplexity(from_logits=True)], "softmax", "remove from_logits"),
        (LOGITS, [], "softmax", "the model ends in a softmax"),
        ("sparse_categorical_crossentropy", [], None, "set from_logits: true"),
        ("sparse_categorical_crossentropy", [], "softmax", None),
    ],
)
def test_loss_net_and_metric_are_compared(loss: Any, metrics: list, activation: str | None, words: str | None) -> None:
    notes = metric_readings.notes(model_of(loss, metrics, activation=activation))
    assert notes == [] if words is None else [words in note for note in notes] == [True]


def test_equality_is_no_share_of_right_classes() -> None:
    (note,) = metric_readings.notes(model_of(TWO_LOGITS, [keras.metrics.Accuracy()], units=1))
    assert "counts outputs that equal their targets" in note and "write accuracy" in note


@pytest.fixture
def two(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> np.ndarray:
    """The logits of the recipe's model: the sum of each example's numbers."""
    monkeypatch.chdir(tmp_path)
    np.savez("two.npz", x_train=X, y_train=BINARY)
    Path("two.yaml").write_text(RECIPE)
    return X.astype(float).sum(axis=1)


def figures(folder: str) -> dict[str, float]:
    with Path(folder, "history.csv").open() as file:
        return {name: float(value) for name, value in next(csv.DictReader(file)).items()}


def test_metrics_of_one_unit_are_those_of_scikit_learn(two: np.ndarray, capsys: pytest.CaptureFixture[str]) -> None:
    chosen = two > 0
    expected = {
        "accuracy": accuracy_score(BINARY, chosen),
        "f": f1_score(BINARY, chosen),
        "p": precision_score(BINARY, chosen),
        "r": recall_score(BINARY, chosen),
    }
    sigmoid = "accuracy, {F1Score: {threshold: 0.5, name: f}}, {Precision: {name: p}}, {Recall: {name: r}}"
    sigmoid += ", {AUC: {name: auc, num_thresholds: 4000}}"
    done = run(capsys, "train", "two.yaml", *SIGMOID, f"compile.metrics=[{sigmoid}]", "--out", "a")
    assert done.status == 0 and "reads" not in done.err, done.err
    logits = "accuracy, {Precision: {thresholds: 0, name: p}}, {Recall: {thresholds: 0, name: r}}"
    logits += ", {AUC: {from_logits: true, name: auc, num_thresholds: 4000}}"
    done = run(capsys, "train", "two.yaml", f"compile.metrics=[{logits}]", "--out", "b")
    assert done.status == 0 and "reads" not in done.err, done.err
    for folder in ("a", "b"):
        row = figures(folder)
        for name in expected.keys() & row.keys():
            assert row[name] == pytest.approx(expected[name], rel=1e-5), (folder, name)
        assert row["auc"] == pytest.approx(roc_auc_score(BINARY, expit(two)), abs=2e-3)
    assert {"f", "p", "r"} <= figures("a").keys() and {"p", "r"} <= figures("b").keys()


@pytest.mark.parametrize(
    ("metric", "words"),
    [
        ("F1Score", "Set threshold: 0.5"),
        ("{FBetaScore: {average: macro}}", "Set threshold: 0.5"),
        ("{Precision: {thresholds: [0.2, 0.5]}}", "gives 2 figures, not one"),
    ],
)
def test_a_metric_that_gives_no_figure_is_refused_with_its_remedy(
    metric: str, words: str, two: np.ndarray, capsys: pytest.CaptureFixture[str]
) -> None:
    done = run(capsys, "train", "two.yaml", *SIGMOID, f"compile.metrics=[{metric}]", "--out", "a")
    assert done.status == 2 and words in done.err and not Path("a").exists(), done.err


def test_metrics_of_one_hot_targets_take_class_indices() -> None:
    from dltool.training.counting import count

    metrics = [
        keras.metrics.F1Score(average="macro", name="f"),
        keras.metrics.CategoricalAccuracy(name="a"),
        keras.metrics.Precision(name="p"),
        keras.metrics.AUC(name="auc", num_thresholds=4000),
    ]
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, activation="softmax")])
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=metrics)
    count(model)
    outputs = np.asarray(model(X))
    model.compute_metrics(X, THREE, model(X))
    found = {name: float(value) for name, value in model.get_metrics_result().items()}
    one_hot = np.eye(3)[THREE]
    assert found["f"] == pytest.approx(f1_score(THREE, outputs.argmax(1), average="macro"), rel=1e-5)
    assert found["a"] == pytest.approx(accuracy_score(THREE, outputs.argmax(1)), rel=1e-5)
    expected = precision_score(one_hot, outputs > 0.5, average="micro", zero_division=0)
    assert found["p"] == pytest.approx(expected, rel=1e-5)
    assert found["auc"] == pytest.approx(roc_auc_score(one_hot, outputs, average="micro"), abs=2e-3)


def test_training_says_at_once_what_differs(two: np.ndarray, capsys: pytest.CaptureFixture[str]) -> None:
    done = run(capsys, "train", "two.yaml", "compile.metrics=[BinaryAccuracy]", "--out", "a")
    lines = [line for line in done.err.splitlines() if "reads probabilities" in line]
    assert done.status == 0 and len(lines) == 1 and "binary_accuracy" in lines[0] and "threshold: 0.0" in lines[0]
    assert done.err.splitlines()[0] == lines[0]


def test_macro_figures_count_classes_that_are_only_predicted() -> None:
    from dltool.tasks._figures import of_classes
    from dltool.tasks._outputs import Evaluated

    true, predicted = np.array([0, 0, 1, 1, 1, 0]), np.array([0, 2, 1, 1, 2, 0])
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(4)])
    model.compile("sgd", LOGITS)
    one = Evaluated("run", "test", true, 9.0 * np.eye(4)[predicted], {}, model, 4, class_names=["a", "b", "c", "d"])
    summary, table, _ = of_classes(one)
    for name, score in (("f1", f1_score), ("precision", precision_score), ("recall", recall_score)):
        assert summary[f"macro_{name}"] == pytest.approx(score(true, predicted, average="macro", zero_division=0))
    # class 2 is predicted twice and never true: (0.8 + 0.8 + 0) / 3, not (0.8 + 0.8) / 2
    assert summary["macro_f1"] == pytest.approx(1.6 / 3)
    assert list(table["examples"]) == [3, 3, 0, 0]
