"""eval against Keras's own evaluate, scikit-learn and arithmetic by hand, on every kind of target."""

from __future__ import annotations

import io
import json
import math
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import special

from dltool.recipe import reading
from dltool.runs import train
from tests.command_line import run

SIZE, FEATURES, CLASSES = 120, 5, 3

RECIPE = """\
# A net on arrays.
data: {{dataset: {{Npz: {path}}}}}
model: [{model}]
compile: {{optimizer: {{Adam: 0.05}}, loss: {loss}, metrics: {metrics}}}
fit: {{epochs: 2, batch_size: 16}}
"""
SOFTMAX = "{Dense: {units: 3, activation: softmax}}"
KINDS = {  # name -> targets, model, loss, metrics
    "sparse-logits": (
        "sparse",
        "{Dense: 3}",
        "{SparseCategoricalCrossentropy: {from_logits: true}}",
        "[accuracy]",
    ),
    "sparse-word": ("sparse", SOFTMAX, "sparse_categorical_crossentropy", "[accuracy]"),
    "sparse-penalty": (
        "sparse",
        "{Dense: {units: 3, kernel_regularizer: {L2: 0.1}}}",
        "{SparseCategoricalCrossentropy: {from_logits: true}}",
        "[accuracy]",
    ),
    "one-hot": ("one_hot", SOFTMAX, "CategoricalCrossentropy", "[accuracy, AUC]"),
    "one-hot-logits": (
        "one_hot",
        "{Dense: 3}",
        "{CategoricalCrossentropy: {from_logits: true}}",
        "[accuracy]",
    ),
    "binary": ("binary", "{Dense: {units: 1, activation: sigmoid}}", "BinaryCrossentropy", "[accuracy, AUC]"),
    "binary-logits": ("binary", "{Dense: 1}", "{BinaryCrossentropy: {from_logits: true}}", "[]"),
    "hinge": ("one_hot", "{Dense: 3}", "CategoricalHinge", "[]"),
    "hinge-integers": ("one_hot_integers", "{Dense: 3}", "CategoricalHinge", "[]"),
    "squares": ("one_hot", SOFTMAX, "mse", "[categorical_accuracy]"),
    "generalized": ("sparse", SOFTMAX, "CategoricalGeneralizedCrossEntropy", "[]"),
    "regression": ("numbers", "{Dense: 2}", "mse", "[mae, RootMeanSquaredError]"),
}
OTHER_LOSSES = ["hinge", "hinge-integers", "squares", "generalized"]
CLASSIFIERS = [name for name in KINDS if name not in (*OTHER_LOSSES, "regression")]


def targets() -> tuple[np.ndarray, dict[str, np.ndarray]]:
    generator = np.random.default_rng(0)
    x = generator.normal(size=(SIZE, FEATURES)).astype("float32")
    scores = x @ generator.normal(size=(FEATURES, CLASSES))
    sparse = scores.argmax(axis=1)
    kinds = {
        "sparse": sparse,
        "one_hot": np.eye(CLASSES, dtype="float32")[sparse],
        "one_hot_integers": np.eye(CLASSES, dtype="int64")[sparse],
        "binary": (scores[:, 0] > 0).astype("int64"),
        "numbers": scores[:, :2].astype("float32"),
    }
    return x, kinds


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the arrays, and of each kind a run and the same one with other weights."""
    import keras

    folder = tmp_path_factory.mktemp("eval")
    x, kinds = targets()
    for name, y in kinds.items():
        np.savez(folder / f"{name}.npz", x=x, y=y)
    for name, (kind, model, loss, metrics) in KINDS.items():
        file = folder / f"{name}.yaml"
        file.write_text(RECIPE.format(path=folder / f"{kind}.npz", model=model, loss=loss, metrics=metrics))
        train.train(reading.load(file, ["seed=1"]), out=folder / f"{name}-1")
        other = shutil.copytree(folder / f"{name}-1", folder / f"{name}-2") / "model.keras"
        model, random = keras.models.load_model(other), np.random.default_rng(2)
        model.set_weights([weight + random.normal(0, 0.5, weight.shape) for weight in model.get_weights()])
        model.save(other)
    return folder


@pytest.fixture(autouse=True)
def inside(trained: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(trained)
    yield
    for path in trained.glob("*.csv"):
        path.unlink()


def scores(capsys: pytest.CaptureFixture[str], *arguments: object) -> list[dict]:
    done = run(capsys, "eval", *arguments, "--format", "json")
    assert (done.status, done.err) == (0, ""), done.err
    return json.loads(done.out)["scores"]


def predictions(capsys: pytest.CaptureFixture[str], *arguments: object) -> pd.DataFrame:
    return scores_and_predictions(capsys, *arguments)[1]


def scores_and_predictions(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[list[dict], pd.DataFrame]:
    Path("p.csv").unlink(missing_ok=True)
    found = scores(capsys, *arguments, "--predictions", "p.csv")
    return found, pd.read_csv("p.csv")


def outputs_of(name: str) -> np.ndarray:
    """Of all examples, by Keras alone."""
    import keras

    return np.asarray(keras.models.load_model(f"{name}/model.keras")(targets()[0], training=False))


def probabilities_of(name: str) -> np.ndarray:
    """Of each class, of all examples, by the definition and Keras alone."""
    outputs = outputs_of(name)
    if outputs.shape[1] == 1:
        outputs = special.expit(outputs) if "logits" in name else outputs
        return np.concatenate([1 - outputs, outputs], axis=1)
    return outputs if KINDS[name.rsplit("-", 1)[0]][1] == SOFTMAX else special.softmax(outputs, axis=1)


def probabilities(frame: pd.DataFrame) -> np.ndarray:
    return frame.filter(like="probability_").to_numpy()


@pytest.mark.parametrize("name", KINDS)
def test_loss_and_metrics_are_those_of_keras_evaluate(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    import keras

    x, kinds = targets()
    y = kinds[KINDS[name][0]]
    expected = keras.models.load_model(f"{name}-1/model.keras").evaluate(
        x, y, batch_size=32, verbose=0, return_dict=True
    )
    (row,) = scores(capsys, f"{name}-1", "--split", "all", "--batch-size", 50)
    assert (row["run"], row["split"], row["examples"]) == (f"{name}-1", "all", SIZE)
    for figure, value in expected.items():
        # AUC counts by thresholds: rounding can move an example across one
        assert row[figure] == pytest.approx(value, rel=1e-3 if figure == "auc" else 1e-5), figure


def test_figures_of_every_split_are_those_that_train_wrote(capsys: pytest.CaptureFixture[str]) -> None:
    written = json.loads(Path("sparse-logits-1/metrics.json").read_text())
    for split in ("train", "test"):
        (row,) = scores(capsys, "sparse-logits-1", "--split", split)
        assert row["examples"] == written["examples"][split]
        for figure, value in written[split].items():
            assert row[figure] == pytest.approx(value, rel=1e-5)


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_class_figures_and_confusion_are_those_of_scikit_learn(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    from sklearn import metrics

    done = run(
        capsys, "eval", f"{name}-1", "--split", "all", "--confusion", "--format", "json", "--predictions", "p.csv"
    )
    frame = pd.read_csv("p.csv")
    true, predicted = frame["target"], frame["prediction"]
    _, kinds = targets()
    expected = kinds["binary" if name.startswith("binary") else "sparse"]
    assert np.array_equal(true, expected)
    assert np.array_equal(predicted, probabilities(frame).argmax(axis=1))
    assert probabilities(frame).sum(axis=1) == pytest.approx(1, abs=1e-6)
    report = json.loads(done.out)
    expected = metrics.precision_recall_fscore_support(true, predicted, zero_division=0)
    table = pd.DataFrame(report["classes"])
    for column, values in zip(("precision", "recall", "f1", "examples"), expected, strict=True):
        assert table[column].to_numpy() == pytest.approx(values)
    matrix = pd.DataFrame(report["confusion"]).drop(columns=["run", "class"])
    assert np.array_equal(matrix.to_numpy(), metrics.confusion_matrix(true, predicted))
    (row,) = report["scores"]
    assert row["macro_f1"] == pytest.approx(metrics.f1_score(true, predicted, average="macro", zero_division=0))


def test_regression_figures_by_hand(capsys: pytest.CaptureFixture[str]) -> None:
    (row,), frame = scores_and_predictions(capsys, "regression-1", "--split", "all")
    true = frame[["target_0", "target_1"]].to_numpy()
    error = true - frame[["prediction_0", "prediction_1"]].to_numpy()
    assert row["mae"] == pytest.approx(np.abs(error).mean(), rel=1e-5)
    assert row["rmse"] == pytest.approx(math.sqrt((error**2).mean()), rel=1e-5)
    assert row["rmse"] == pytest.approx(row["root_mean_squared_error"], rel=1e-5)
    explained = 1 - (error**2).sum(axis=0) / ((true - true.mean(axis=0)) ** 2).sum(axis=0)
    assert row["r2"] == pytest.approx(explained.mean(), rel=1e-5)
    assert "macro_f1" not in row


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_average_is_of_probabilities_and_its_loss_their_cross_entropy(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (*_, row), frame = scores_and_predictions(capsys, f"{name}-1", f"{name}-2")
    mean = (probabilities_of(f"{name}-1") + probabilities_of(f"{name}-2"))[frame["row"]] / 2
    assert probabilities(frame) == pytest.approx(mean, abs=1e-6)
    assert row["run"] == "average"
    true = frame["target"].to_numpy()
    assert row["loss"] == pytest.approx(-np.log(mean[np.arange(len(true)), true]).mean(), rel=1e-4)
    if name.startswith(("sparse", "one-hot")):
        assert row["accuracy"] == pytest.approx((mean.argmax(axis=1) == true).mean(), abs=1e-6)


@pytest.mark.parametrize("name", OTHER_LOSSES)
def test_a_classifier_by_another_loss_has_figures_of_classes(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    from sklearn import metrics

    _, kinds = targets()
    outputs = outputs_of(f"{name}-1")
    (row,), frame = scores_and_predictions(capsys, f"{name}-1", "--split", "all")
    word = "score" if name.startswith("hinge") else "probability"
    assert list(frame) == ["index", "row", "target", "prediction", *(f"{word}_{i}" for i in range(CLASSES))]
    assert frame.filter(like=word).to_numpy() == pytest.approx(outputs, abs=1e-5)
    assert np.array_equal(frame["target"], kinds["sparse"])
    assert np.array_equal(frame["prediction"], outputs.argmax(axis=1))
    expected = metrics.f1_score(kinds["sparse"], outputs.argmax(axis=1), average="macro", zero_division=0)
    assert row["macro_f1"] == pytest.approx(expected)
    assert not {"mae", "rmse", "r2"} & row.keys()
    (*_, row), average = scores_and_predictions(capsys, f"{name}-1", f"{name}-2", "--split", "all")
    assert average.filter(like=word).to_numpy() == pytest.approx((outputs + outputs_of(f"{name}-2")) / 2, abs=1e-5)
    assert row["macro_f1"] > 0


def test_average_of_regressions_is_of_outputs(capsys: pytest.CaptureFixture[str]) -> None:
    (*_, row), frame = scores_and_predictions(capsys, "regression-1", "regression-2")
    mean = (outputs_of("regression-1") + outputs_of("regression-2"))[frame["row"]] / 2
    assert frame.filter(like="prediction").to_numpy() == pytest.approx(mean, abs=1e-6)
    error = frame.filter(like="target").to_numpy() - mean
    assert row["loss"] == pytest.approx((error**2).mean(), rel=1e-5)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (
            "regression-1",
            "regression-1 and sparse-logits-1 have other examples: average runs of the same data",
        ),
        (
            "binary-1",
            "binary-1 and sparse-logits-1 have other examples: average runs of the same data and split",
        ),
    ],
)
def test_runs_of_different_data_are_not_averaged(other: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    done = run(capsys, "eval", "sparse-logits-1", other)
    assert (done.status, done.out) == (2, "")
    assert done.err.startswith(f"dltool: {message}")
    assert done.err.count("\n") == 1


def test_csv_is_one_table_and_json_holds_all(capsys: pytest.CaptureFixture[str]) -> None:
    tables = {
        ("--per-class",): ["run", "class", "precision", "recall", "f1", "examples"],
        ("--confusion",): ["run", "class", "0", "1", "2"],
        (): ["run", "split", "examples", "loss", "accuracy", "macro_precision", "macro_recall", "macro_f1"],
    }
    for options, columns in tables.items():
        done = run(capsys, "eval", "sparse-word-1", *options, "--format", "csv")
        assert list(pd.read_csv(io.StringIO(done.out)).columns) == columns
    done = run(capsys, "eval", "sparse-word-1", "--confusion", "--format", "json")
    assert list(json.loads(done.out)) == ["scores", "classes", "confusion"]


@pytest.mark.parametrize(
    ("requirement", "status", "message"),
    [
        ("accuracy>=0", 0, ""),
        ("loss<inf", 0, ""),
        ("examples == 24", 0, ""),
        ("accuracy>1", 3, "dltool: sparse-word-1: accuracy>1 is not met: accuracy is 0."),
        ("accuracy", 2, "dltool: --require 'accuracy': write FIGURE OPERATOR NUMBER, such as accuracy>=0.97"),
        ("accuracy>=x", 2, "dltool: --require 'accuracy>=x': write FIGURE OPERATOR NUMBER"),
        (
            "acuracy>=1",
            2,
            "dltool: --require 'acuracy>=1': no figure 'acuracy'. Did you mean 'accuracy'? Figures:",
        ),
        ("run>=1", 2, "dltool: --require 'run>=1': no figure 'run'."),
    ],
)
def test_a_requirement_holds_or_decides_the_exit_status(
    requirement: str, status: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    done = run(capsys, "eval", "sparse-word-1", "--require", requirement)
    assert done.status == status, done.err
    assert done.err.startswith(message)
    assert done.err.count("\n") == bool(message)
    assert bool(done.out) == (status in (0, 3)), "the table is printed although a requirement is not met"


@pytest.mark.parametrize(
    ("bound", "status"), [("mean:accuracy>=0", 0), ("mean:accuracy>1", 3), (" mean : loss<inf", 0)]
)
def test_a_requirement_of_the_mean_is_about_the_average_alone(
    bound: str, status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    done = run(capsys, "eval", "sparse-word-1", "sparse-word-2", "--require", bound)
    assert done.status == status, done.err
    lines = ["dltool: average: mean:accuracy>1 is not met: accuracy is "] * (status == 3)
    assert len(done.err.splitlines()) == len(lines)
    assert all(line.startswith(start) for line, start in zip(done.err.splitlines(), lines, strict=True))


def test_a_requirement_of_the_mean_holds_for_a_single_run(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "eval", "sparse-word-1", "--require", "mean:accuracy>1").status == 3
    done = run(capsys, "init-stats", "mlp/digits", "--require", "mean:loss>1")
    assert done.status == 2 and "write FIGURE OPERATOR NUMBER" in done.err


def test_the_confusion_matrix_of_people_names_its_axes(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    done = run(capsys, "eval", "sparse-word-1", "--confusion")
    title, axis, head, *rows = done.out[done.out.index("confusion of") :].splitlines()
    assert title == "confusion of sparse-word-1 (rows: true, columns: predicted)"
    assert axis.strip() == "predicted" and head.split() == ["true", "0", "1", "2"]
    assert [row.split()[0] for row in rows[:3]] == ["0", "1", "2"]


def test_predictions_never_replace_a_file_unasked(capsys: pytest.CaptureFixture[str]) -> None:
    Path("p.csv").write_text("mine")
    done = run(capsys, "eval", "sparse-word-1", "--predictions", "p.csv")
    assert (done.status, done.out) == (2, "")
    assert done.err == "dltool: --predictions p.csv: exists already. Use --overwrite to replace it.\n"
    assert Path("p.csv").read_text() == "mine"
    for place in (".", "p.csv/below"):
        assert run(capsys, "eval", "sparse-word-1", "--predictions", place, "--overwrite").status == 2


def test_a_run_is_evaluated_from_another_folder(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = trained / "relative.yaml"
    file.write_text((trained / "sparse-word.yaml").read_text().replace(str(trained / "sparse.npz"), "sparse.npz"))
    train.train(reading.load(file), out=trained / "relative")
    monkeypatch.chdir(tmp_path)
    (row,) = scores(capsys, trained / "relative")
    assert row["examples"] == SIZE // 5


def test_other_data_of_the_same_kind(capsys: pytest.CaptureFixture[str]) -> None:
    x, kinds = targets()
    np.savez("fewer.npz", x=x[kinds["sparse"] < 2], y=kinds["sparse"][kinds["sparse"] < 2])
    (row,) = scores(capsys, "sparse-word-1", "--data", "Npz: fewer.npz")
    assert (row["split"], row["examples"]) == ("all", (kinds["sparse"] < 2).sum())
    (row,) = scores(capsys, "sparse-word-1", "--data", "Npz: {path: sparse.npz}", "--split", "test")
    assert (row["split"], row["examples"]) == ("test", SIZE // 5)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("Npz: narrow.npz", "was trained on data of input_shape [5], these have"),
        ("Npz: numbers.npz", "targets differ in kind (the run's and the data's: classes and numbers)"),
        ("Npz: more.npz", "was trained on 3 classes, the data have 5"),
        ("Digits", "was trained on data of input_shape [5], these have"),
    ],
)
def test_data_of_another_kind_are_refused(data: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    x, kinds = targets()
    np.savez("narrow.npz", x=x[:, :4], y=kinds["sparse"])
    np.savez("more.npz", x=x, y=kinds["sparse"] + 2)
    done = run(capsys, "eval", "sparse-word-1", "--data", data)
    assert (done.status, done.out) == (5, "")
    assert done.err.startswith(f"dltool: sparse-word-1: {message}")
    assert done.err.count("\n") == 1


TABLE = """\
# A net on a table.
data: {dataset: {Csv: {path: table.csv, target: kind, ignore: [id]}}}
model:
  - FeatureSpace: ${data.features}
  - Dense: {units: 8, activation: relu}
  - Dense: ${data.num_classes}
compile:
  optimizer: {Adam: 0.05}
  loss: {SparseCategoricalCrossentropy: {from_logits: true}}
  metrics: [accuracy]
fit: {epochs: 8, batch_size: 16}
"""


def table() -> pd.DataFrame:
    generator = np.random.default_rng(3)
    size, colour = generator.normal(size=SIZE), generator.choice(["red", "green"], SIZE)
    kind = np.where(size + (colour == "red") > 0.5, "big", "small")
    return pd.DataFrame({"id": range(SIZE), "size": size, "colour": colour, "kind": kind})


@pytest.fixture(scope="module")
def tabular(trained: Path) -> Path:
    table().to_csv(trained / "table.csv", index=False)
    (trained / "table.yaml").write_text(TABLE.replace("table.csv", str(trained / "table.csv")))
    train.train(reading.load(trained / "table.yaml"), out=trained / "table")
    return trained / "table"


def test_a_table_is_evaluated_whatever_other_columns_and_order_it_has(
    tabular: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    changed = table().assign(aaa=1.0, zzz="x")[["zzz", "kind", "colour", "aaa", "size", "id"]]
    changed.to_csv("changed.csv", index=False)
    table().to_csv("same.csv", index=False)
    (expected,) = scores(capsys, tabular, "--data", "Csv: {path: same.csv, target: kind, ignore: [id]}")
    assert expected["accuracy"] > 0.8
    for data in (
        "Csv: {path: changed.csv, target: kind}",
        "Csv: changed.csv",
    ):  # the rest is as the run had it
        (row,) = scores(capsys, tabular, "--data", data)
        assert row == expected


def test_class_order_is_the_runs_where_other_data_hold_one_class(
    tabular: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small = table()[lambda frame: frame["kind"] == "small"]
    small.to_csv("small.csv", index=False)
    frame = predictions(capsys, tabular, "--data", "Csv: small.csv")
    assert set(frame["target"]) == {"small"}
    assert list(frame) == ["index", "row", "target", "prediction", "probability_big", "probability_small"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: f.replace({"kind": {"big": "huge"}}), "is 'huge', none of the classes big, small"),
        (lambda f: f.drop(columns="colour"), "has no column 'colour'"),
        (lambda f: f.drop(columns="kind"), "has no column 'kind'"),
        (lambda f: f.assign(size="wide"), "column 'size' must be a number. Got 'wide' instead"),
        (lambda f: f.iloc[:0], "has a header but no rows"),
    ],
    ids=["unknown label", "missing column", "missing target", "text for numbers", "no rows"],
)
def test_a_table_that_does_not_fit_is_named(
    change, message: str, tabular: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    change(table()).to_csv("bad.csv", index=False)
    done = run(capsys, "eval", tabular, "--data", "Csv: {path: bad.csv, target: kind}")
    assert (done.status, done.out) == (5, "")
    assert done.err.startswith("dltool: bad.csv") and message in done.err
    assert done.err.count("\n") == 1


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("Cvs: x.csv", "no dataset named 'Cvs'. Did you mean 'Csv'?"),
        ("Csv: nowhere.csv", "No file nowhere.csv"),
        ("{", "not YAML"),
        ("42", "write a dataset as in a recipe"),
        ("", "is empty"),
    ],
)
def test_a_malformed_data_option_is_bad_usage(
    data: str, message: str, tabular: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    done = run(capsys, "eval", tabular, "--data", data)
    assert (done.status, done.out) == (2, "")
    assert message in done.err
    assert done.err.startswith("dltool: --data") and done.err.count("\n") == 1


def test_evaluation_is_compiled() -> None:
    """Python runs the layers to trace them, not for each of the 20 batches."""
    import keras

    from dltool.data.base import Examples
    from dltool.data.pipelines.in_memory import DeviceArrays, InMemory
    from dltool.tasks._outputs import evaluate

    traced = []

    class Noted(keras.layers.Dense):
        def call(self, inputs, *args, **kwargs):
            traced.append(inputs.shape)
            return super().call(inputs, *args, **kwargs)

    model = keras.Sequential([keras.Input((784,)), Noted(8, "relu"), keras.layers.Dense(10)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("sgd", loss, metrics=["accuracy"])
    generator = np.random.default_rng(0)
    x = generator.normal(size=(10_000, 784)).astype("float32")
    y = generator.integers(10, size=10_000)
    pipeline = InMemory(DeviceArrays(Examples(x, y.astype("int32"))), None, 512)
    traced.clear()
    evaluate(model, pipeline, "run", "test")
    assert 1 <= len(traced) <= 4
