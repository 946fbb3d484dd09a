"""Runs of models with two inputs and two outputs: trained, resumed, judged, averaged and looked at like any other."""

from __future__ import annotations

import csv
import io
import json
import math
import shutil
import signal
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest
from scipy.special import softmax
from sklearn.metrics import f1_score

from dltool.runs.keeper import Keeper
from tests.command_line import run, spawn, trained

RECIPE = """\
# An image and a table in, a class and a number out.
data:
  dataset: {Npz: {path: two.npz, inputs: [image, table], targets: [kind, amount]}}
  validation_split: 0.2
model:
  - Conv2D: {filters: 3, kernel_size: 3, activation: relu, inputs: image}
  - Flatten
  - Dense: {units: 6, activation: relu, name: of_image}
  - Normalization: {inputs: table}
  - Dense: {units: 6, activation: relu, name: of_table}
  - Concatenate: {inputs: [of_image, of_table]}
  - Dropout: {rate: 0.1, name: joined}
  - Dense: {units: "${data.kind.num_classes}", name: kind}
  - Dense: {units: 1, inputs: joined, name: amount}
outputs: [kind, amount]
compile:
  optimizer: {Adam: 0.01}
  loss: {kind: {SparseCategoricalCrossentropy: {from_logits: true}}, amount: MeanSquaredError}
  loss_weights: {kind: 1, amount: 0.5}
  metrics: {kind: [accuracy], amount: [mae]}
  steps_per_execution: 2
fit: {epochs: 3, batch_size: 16}
select: {monitor: val_kind_accuracy, mode: max}
deterministic: true
seed: 2
"""
SIZE = 120


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recipe, its data, and a run of it in "run"."""
    path = tmp_path_factory.mktemp("two")
    rng = np.random.default_rng(0)
    kind, table = rng.integers(0, 3, SIZE), rng.normal(2, 3, (SIZE, 4)).astype("float32")
    image = rng.normal(0, 0.3, (SIZE, 6, 6, 1)).astype("float32")
    image[np.arange(SIZE), 2 * kind] += 1
    np.savez(path / "two.npz", image=image, table=table, kind=kind, amount=table @ [1, 2, -1, 0.5] + kind)
    recipe = path / "two.yaml"
    recipe.write_text(RECIPE.replace("two.npz", str(path / "two.npz")))
    trained(recipe, "--out", path / "run")
    return path


def history(path: Path) -> list[dict[str, str]]:
    with (path / "history.csv").open() as file:
        return [{name: value for name, value in row.items() if name != "seconds"} for row in csv.DictReader(file)]


def arrays(path: Path) -> dict[str, np.ndarray]:
    with np.load(path / "checkpoint" / "state.npz") as file:
        return {name: file[name] for name in file.files if name != "__plain__"}


def assert_same_bits(one: Path, other: Path) -> None:
    assert history(one) == history(other)
    expected, found = arrays(one), arrays(other)
    assert expected.keys() == found.keys() and len(expected) > 20
    assert [name for name in expected if not np.array_equal(expected[name], found[name])] == []


def test_history_has_the_figures_of_each_output_and_loss_is_their_weighted_sum(folder: Path) -> None:
    for row in history(folder / "run"):
        for of in ("", "val_"):
            figures = {name: float(row[of + name]) for name in ("loss", "kind_loss", "amount_loss", "kind_accuracy")}
            assert figures["loss"] == pytest.approx(figures["kind_loss"] + 0.5 * figures["amount_loss"], rel=1e-5)
    assert "val_amount_mae" in history(folder / "run")[0]


def test_interrupted_in_an_epoch_and_resumed_it_is_the_same_to_the_bit(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    advanced, calls = Keeper.advanced, []

    def interrupting(self: Keeper, procedure: object) -> None:
        calls.append(procedure)
        if len(calls) == 4:  # two steps a call, five an epoch: in the second epoch
            signal.raise_signal(signal.SIGTERM)
        advanced(self, procedure)

    with monkeypatch.context() as patch:
        patch.setattr(Keeper, "advanced", interrupting)
        done = run(capsys, "train", folder / "two.yaml", "--out", folder / "interrupted", "--quiet")
    assert done.status == 143
    state = np.load(folder / "interrupted" / "checkpoint" / "state.npz")
    position = json.loads(state["__plain__"].tobytes())["plain"]["position"]
    assert position["step"] > 0, "it was interrupted between epochs"
    trained(folder / "interrupted", "--resume")
    assert_same_bits(folder / "run", folder / "interrupted")


@pytest.mark.slow
def test_killed_and_resumed_it_is_the_same_to_the_bit(folder: Path) -> None:
    process = spawn("train", folder / "two.yaml", "fit.epochs=40", "--out", folder / "killed")
    for line in process.stderr:
        if line.startswith("epoch 2"):
            break
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL and not (folder / "killed" / "metrics.json").exists()
    for arguments in (("killed", "--resume"), ("two.yaml", "fit.epochs=40", "--out", folder / "unbroken")):
        process = spawn("train", folder / arguments[0], *arguments[1:], "--quiet")
        _, err = process.communicate(timeout=300)
        assert process.returncode == 0, err
    assert_same_bits(folder / "unbroken", folder / "killed")


def test_figures_and_answers_are_those_of_the_file_opened_in_plain_keras(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    answers = folder / "answers.csv"
    command = ("eval", folder / "run", "--split", "all", "--predictions", answers, "--overwrite", "--format", "json")
    done = run(capsys, *command)
    assert done.status == 0, done.err
    (row,) = json.loads(done.out)["scores"]
    data = np.load(folder / "two.npz")
    model = keras.models.load_model(folder / "run" / "model.keras")
    given = model.predict({"image": data["image"], "table": data["table"]}, verbose=0)
    amount, kind = given["amount"][:, 0], given["kind"].argmax(1)
    assert row["kind_accuracy"] == pytest.approx((kind == data["kind"]).mean())
    assert row["kind_macro_f1"] == pytest.approx(f1_score(data["kind"], kind, average="macro"))
    assert row["amount_mae"] == pytest.approx(np.abs(amount - data["amount"]).mean(), rel=1e-5)
    rmse = np.sqrt(np.square(amount - data["amount"]).mean())
    assert row["amount_rmse"] == pytest.approx(rmse, rel=1e-5)
    assert row["loss"] == pytest.approx(row["kind_loss"] + 0.5 * row["amount_loss"], rel=1e-5)
    table = pd.read_csv(answers)
    of_kind = ["kind_target", "kind_prediction", *(f"kind_probability_{i}" for i in range(3))]
    assert list(table) == ["index", "row", *of_kind, "amount_target", "amount_prediction"]
    np.testing.assert_array_equal(table["kind_prediction"], kind)
    np.testing.assert_allclose(table["kind_probability_1"], softmax(given["kind"], axis=1)[:, 1], atol=1e-5)
    np.testing.assert_allclose(table["amount_prediction"], amount, rtol=1e-4, atol=1e-4)


def test_predict_answers_without_targets_what_eval_predicts(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = np.load(folder / "two.npz")
    np.savez(folder / "new.npz", image=data["image"], table=data["table"])
    run(capsys, "eval", folder / "run", "--split", "all", "--predictions", folder / "judged.csv", "--overwrite")
    judged = pd.read_csv(folder / "judged.csv")
    for runs in ([folder / "run"], [folder / "run", folder / "run"]):
        done = run(capsys, "predict", *runs, folder / "new.npz", "--probabilities", "--format", "csv")
        assert done.status == 0, done.err
        found = pd.read_csv(io.StringIO(done.out))
        assert list(found) == [name for name in judged if name != "index" and not name.endswith("_target")]
        np.testing.assert_array_equal(found["kind_prediction"], judged["kind_prediction"])
        np.testing.assert_allclose(found["amount_prediction"], judged["amount_prediction"], rtol=1e-4, atol=1e-4)
        chances = [f"kind_probability_{index}" for index in range(3)]
        np.testing.assert_allclose(found[chances], judged[chances], atol=1e-5)
    np.savez(folder / "short.npz", image=data["image"][:5], table=data["table"])
    done = run(capsys, "predict", folder / "run", folder / "short.npz")
    assert done.status == 5 and "holds 5 of 'image', 120 of 'table'" in done.err
    np.save(folder / "one.npy", data["table"])
    done = run(capsys, "predict", folder / "run", folder / "one.npy")
    assert done.status == 5 and "the model takes image and table" in done.err


def test_classes_and_confusion_say_of_which_output_they_are(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    done = run(capsys, "eval", folder / "run", "--confusion", "--require", "kind_accuracy>=0")
    assert done.status == 0, done.err
    assert f"confusion of {folder / 'run'}, kind (rows: true, columns: predicted)" in done.out
    done = run(capsys, "eval", folder / "run", "--per-class", "--format", "csv")
    assert list(pd.read_csv(io.StringIO(done.out))["output"]) == ["kind"] * 3
    assert run(capsys, "eval", folder / "run", "--require", "amount_r2>=2").status == 3


def test_the_mean_of_two_runs_is_the_mean_of_each_output(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trained(folder / "two.yaml", "seed=5", "fit.epochs=1", "--out", folder / "other")
    done = run(capsys, "eval", folder / "run", folder / "other", "--split", "all", "--format", "json")
    mean = json.loads(done.out)["scores"][-1]
    data = np.load(folder / "two.npz")
    x = {"image": data["image"], "table": data["table"]}
    models = [keras.models.load_model(folder / name / "model.keras") for name in ("run", "other")]
    given = [model.predict(x, verbose=0) for model in models]
    amount = np.mean([one["amount"][:, 0] for one in given], axis=0)
    kind = np.mean([softmax(one["kind"], axis=1) for one in given], axis=0).argmax(1)
    assert mean["run"] == "average"
    assert mean["amount_mae"] == pytest.approx(np.abs(amount - data["amount"]).mean(), rel=1e-5)
    assert mean["kind_accuracy"] == pytest.approx((kind == data["kind"]).mean())


def test_init_stats_expects_the_weighted_sum_of_chances(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    done = run(capsys, "init-stats", folder / "two.yaml", "fit.batch_size=72", "--batches", "1", "--format", "json")
    assert done.status == 0, done.err
    (row,) = json.loads(done.out)["model"]
    amounts = np.load(folder / "two.npz")["amount"]
    assert row["chance"] - math.log(3) == pytest.approx(0.5 * amounts.var(), rel=0.3)  # of those drawn to train on


def test_summary_lists_all_inputs(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    done = run(capsys, "summary", folder / "run", "--format", "json")
    layers = {row["layer"]: row for row in json.loads(done.out)["layers"]}
    assert {"of_image", "of_table", "kind", "amount"} <= layers.keys()


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ("fit.class_weight=balanced", "fit.class_weight: weighs the classes of one target"),
        ("data.augment=[{RandomFlip: horizontal}]", "data.augment: the data are several arrays by name"),
        ("model.7.Dense.units=2", "model[7]: gives 2 outputs, the data have 3 classes. Use ${data.kind.num_classes}."),
        ("model.7.Dense.units=${data.num_classes}", "write ${data.kind.num_classes}."),
        ("model.7.Dense.units=${data.kin.num_classes}", "no input or target 'kin'. Did you mean 'kind'?"),
        ("outputs=[kind]", "outputs: no output for the data's target amount. Add it."),
        ("compile.metrics={kind: [{BinaryAccuracy: {name: a}}], amounts: [mae]}", "no output 'amounts'"),
    ],
)
def test_mistakes_are_reported_at_their_line(
    folder: Path, capsys: pytest.CaptureFixture[str], change: str, line: str
) -> None:
    done = run(capsys, "train", folder / "two.yaml", change, "--out", folder / "none")
    assert done.status == 2 and line in done.err, done.err


def test_what_reads_outputs_in_another_way_is_noted_by_output(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    changes = ["fit.epochs=1", "compile.loss={kind: SparseCategoricalCrossentropy, amount: MeanSquaredError}"]
    done = run(capsys, "train", folder / "two.yaml", *changes, "--out", folder / "noted")
    assert "compile.loss.kind reads probabilities, but the output 'kind' ends in no softmax" in done.err


def test_data_with_other_targets_do_not_fit(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = dict(np.load(folder / "two.npz"))
    np.savez(folder / "other.npz", **data | {"kind": data["kind"] + 2})
    other = f"Npz: {{path: {folder / 'other.npz'}, inputs: [image, table], targets: [kind, amount]}}"
    done = run(capsys, "eval", folder / "run", "--data", other)
    assert done.status == 5 and "for 'kind': was trained on 3 classes, the data have 5" in done.err
    shutil.copy(folder / "two.npz", folder / "same.npz")
    done = run(capsys, "eval", folder / "run", "--data", f"Npz: {folder / 'same.npz'}")
    assert done.status == 0, done.err  # names are the run's
