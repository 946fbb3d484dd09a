"""dltool init-stats as its users meet it: tables, formats, seeds, steps, requirements, pictures and mistakes."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.command_line import QUICK, run, write_quick

DEEP = """\
# Sigmoids, one after the other.
data: {dataset: Digits}
model:
  - Flatten
  - Rescaling: 0.0625
  - Dense: {units: 12, activation: sigmoid}
  - Dense: {units: 12, activation: sigmoid}
  - Dense: {units: 12, activation: sigmoid}
  - Dense: {units: 12, activation: sigmoid}
  - Dense: {units: 12, activation: sigmoid}
  - Dense: {units: 12, activation: sigmoid}
  - Dense: ${data.num_classes}
compile:
  optimizer: {SGD: {learning_rate: 0.1}}
  loss: {SparseCategoricalCrossentropy: {from_logits: true}}
fit: {epochs: 1, batch_size: 64}
"""


@pytest.fixture
def quick(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return write_quick(tmp_path)


def report(capsys: Any, *arguments: object) -> dict[str, list[dict[str, Any]]]:
    done = run(capsys, "init-stats", *arguments, "--format", "json")
    assert done.status == 0, done.err
    return json.loads(done.out)


def test_the_table_names_layers_theory_and_verdict(quick: Path, capsys: Any) -> None:
    done = run(capsys, "init-stats", quick)
    assert done.status == 0, done.err
    for word in ("forward", "backward", "weights", "dense_1", "theory", "healthy", "GlorotUniform", "▁"):
        assert word in done.out
    assert "NaN/Inf" not in done.out
    assert done.err == ""


def test_csv_has_a_row_a_layer_with_its_kernel_and_json_all_sections(quick: Path, capsys: Any) -> None:
    done = run(capsys, "init-stats", quick, "--format", "csv")
    rows = list(csv.DictReader(io.StringIO(done.out)))
    assert [row["layer"] for row in rows] == ["dense", "dense_1"]
    assert float(rows[0]["kernel_declared_variance"]) == pytest.approx(2 / (64 + 16))
    found = report(capsys, quick)
    assert list(found) == ["model", "layers", "weights"]
    assert {"histogram", "is_hidden"}.isdisjoint(found["layers"][0])
    (model,) = found["model"]
    assert model["chance"] == pytest.approx(np.log(10))
    assert model["loss"] == pytest.approx(np.log(10), rel=0.5)
    assert [row["weight"] for row in found["weights"]] == ["kernel", "bias"] * 2


def test_the_same_twice_and_other_batches_differ(quick: Path, capsys: Any) -> None:
    first, again = report(capsys, quick), report(capsys, quick)
    assert first == again
    assert report(capsys, quick, "--batches", 1) != first


def test_seeds_give_mean_and_spread_of_other_weights(quick: Path, capsys: Any) -> None:
    (one,) = report(capsys, quick)["model"]
    found = report(capsys, quick, "--seeds", 3)
    (many,) = found["model"]
    assert (one["seeds"], many["seeds"]) == (1, 3)
    assert many["loss_sd"] > 0
    assert many["gradient_ratio_spread"] > 1
    assert many["verdict_share"] == 1
    assert found["layers"][0]["kernel_variance_sd"] > 0
    columns = {name for section in found.values() for name in section[0]}
    inner = {
        "is_hidden",
        "is_kernel",
        "kernel_is_kernel",
        "gradient_rms",
        "kernel_gradient_rms",
        "kernel_gradient_rms_sd",
    }
    assert columns.isdisjoint(inner | {"nan_sd", "inf_sd", "units_sd", "kernel_units_sd", "gradient_nan_sd"})
    assert {"nan", "gradient_nan", "units", "kernel_units"} <= columns


def test_after_some_steps_the_weights_are_those_of_training(quick: Path, capsys: Any) -> None:
    from dltool.runs.preparation import prepare
    from dltool.training.procedures.gradient_descent import training_step

    found = report(capsys, quick, "--steps", "0,3,40", "--batches", 1)
    assert [(row["step"], row["verdict"]) for row in found["model"]] == [
        (0, "healthy"),
        (3, "healthy"),
        (40, "healthy"),
    ]
    prepared = prepare(str(quick))
    step = training_step(prepared.model, None, None, False)
    first = prepared.train.order(prepared.seed, 0)
    prepared.train.epoch(step, first).advance(0, 3)
    kernel = np.array(prepared.model.trainable_variables[0])
    row = next(r for r in found["weights"] if r["step"] == 3)
    assert row["variance"] == pytest.approx(np.var(kernel), rel=1e-4)
    left = 40 - prepared.steps  # beyond the first epoch the order is the second's
    prepared.train.epoch(step, first, 3).advance(3, prepared.steps)
    prepared.train.epoch(step, prepared.train.order(prepared.seed, 1)).advance(0, left)
    row = next(r for r in found["weights"] if r["step"] == 40)
    assert row["variance"] == pytest.approx(np.var(np.array(prepared.model.trainable_variables[0])), rel=1e-4)


def test_a_run_is_measured_with_its_trained_weights(quick: Path, capsys: Any) -> None:
    assert run(capsys, "train", quick, "--out", "trained", "-q").status == 0
    (fresh,), (trained,) = (report(capsys, source)["model"] for source in (quick, "trained"))
    assert trained["model"] == "trained"
    assert trained["loss"] < 0.6 * fresh["loss"]
    done = run(capsys, "init-stats", "trained", "--seeds", 2)
    assert (done.status, done.err.count("\n")) == (2, 1)
    done = run(capsys, "init-stats", "trained", "--compare", "he_normal")
    assert (done.status, done.err.count("\n")) == (2, 1)


def test_variants_stand_side_by_side(quick: Path, capsys: Any) -> None:
    found = report(capsys, quick, "--compare", "he_normal,zeros", "--batches", 1)
    assert [row["model"] for row in found["model"]] == ["he_normal", "zeros"]
    kernels = {row["model"]: row for row in found["weights"] if row["weight"] == "kernel" and row["layer"] == "dense"}
    assert kernels["he_normal"]["declared_variance"] == pytest.approx(2 / 64)
    assert kernels["zeros"]["variance"] == 0
    assert kernels["zeros"]["identical_units"] == 16


def test_gaussian_input_says_what_scale_reaches_the_weights(quick: Path, capsys: Any) -> None:
    done = run(capsys, "init-stats", quick, "--input", "gaussian")
    assert "dense: the Gaussian input reaches it with a standard deviation of 0.06" in done.out
    found = report(capsys, quick, "model.0.Rescaling=1", "--input", "gaussian")
    assert "notes" not in found
    assert found["layers"][0]["pre_variance"] == pytest.approx(64 * 2 / (64 + 16), rel=0.2)


def test_a_requirement_that_is_not_met_ends_with_three(tmp_path: Path, capsys: Any) -> None:
    deep = write_quick(tmp_path, "deep.yaml", DEEP)
    done = run(capsys, "init-stats", deep, "--require", "gradient_ratio<1e3", "--require", "time_ratio<1e3")
    assert done.status == 3
    assert "deep: gradient_ratio<1e3 is not met: gradient_ratio is " in done.err
    assert "time_ratio could not be measured" in done.err  # there is no recurrent layer
    assert "vanishing" in done.out
    assert run(capsys, "init-stats", deep, "--require", "gradient_ratio>1e3", "--require", "nan==0").status == 0
    done = run(capsys, "init-stats", deep, "--require", "gradient_ration<1e3")
    assert done.status == 2
    assert "Did you mean 'gradient_ratio'?" in done.err


@pytest.mark.parametrize(("name", "begins"), [("depth.png", b"\x89PNG"), ("depth.svg", b"<?xml")])
def test_the_picture_is_written_whole_and_never_over_another(
    quick: Path, capsys: Any, name: str, begins: bytes
) -> None:
    done = run(capsys, "init-stats", quick, "--plot", name, "--batches", 1)
    assert done.status == 0, done.err
    assert Path(name).read_bytes().startswith(begins)
    done = run(capsys, "init-stats", quick, "--plot", name)
    assert (done.status, done.out) == (2, "")
    assert "--overwrite" in done.err
    assert sorted(path.name for path in Path().iterdir()) == sorted([name, "quick.yaml"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--layers", "dens"], "--layers: no layer matches 'dens'. Did you mean 'dense"),
        (["--steps", "0,-1"], "--steps '0,-1': write numbers of updates"),
        (["--steps", "x"], "--steps 'x': write numbers of updates"),
        (["--plot", "picture.jpg"], "--plot picture.jpg: must end in .png or .svg"),
        (["--require", "loss"], "--require 'loss': write FIGURE OPERATOR NUMBER, such as gradient_ratio<1e3"),
        (["--compare", "he_norml"], "he_norml"),
        (["model.2.Dense.kernel_initializer=he_norml"], "he_norml"),
    ],
)
def test_mistakes_are_one_line_and_exit_status_two(quick: Path, capsys: Any, options: list[str], message: str) -> None:
    done = run(capsys, "init-stats", quick, *options)
    assert (done.status, done.out) == (2, "")
    assert message in done.err
    assert done.err.count("\n") == 1


def test_steps_after_the_end_of_a_schedule_are_a_mistake_and_the_last_is_measured(quick: Path, capsys: Any) -> None:
    rate = "compile.optimizer={SGD: {learning_rate: 0.1, momentum: {Constant: 0.5}}}"
    done = run(capsys, "init-stats", quick, rate, "fit.epochs=1", "--steps", "0,22", "--batches", 1)
    assert (done.status, done.out) == (2, "")
    assert "--steps 22: quick trains for 21 steps, and its schedule of momentum ends there" in done.err
    assert report(capsys, quick, rate, "fit.epochs=1", "--steps", "21", "--batches", 1)["model"][0]["nan"] == 0


def test_a_model_without_weights_is_a_mistake(tmp_path: Path, capsys: Any) -> None:
    text = QUICK.replace("  - Dense: {units: 16, activation: relu}\n", "").replace(
        "  - Dense: ${data.num_classes}\n", "  - Dense: {units: 10, trainable: false}\n"
    )
    done = run(capsys, "init-stats", write_quick(tmp_path, text=text))
    assert done.status == 2
    assert "no trainable weights" in done.err


def test_layers_selects_rows_and_not_the_verdict(quick: Path, capsys: Any) -> None:
    whole, part = report(capsys, quick), report(capsys, quick, "--layers", "*_1")
    assert [row["layer"] for row in part["layers"]] == ["dense_1"]
    assert {row["layer"] for row in part["weights"]} == {"dense_1"}
    assert part["model"] == whole["model"]
