"""dltool landscape as its users meet it: tables, formats, pictures and mistakes."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.command_line import run, trained, write_quick

KINDS = ("--function", "x**2 + y**2", "--function", "-(x**2 + y**2)", "--function", "x**2 - y**2", "--at", "0,0")


def test_formulas_give_a_row_each_with_its_thresholds_and_a_picture(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    done = run(capsys, "landscape", *KINDS, "--format", "csv", "--out", tmp_path / "kinds.png")
    assert done.status == 0, done.err
    rows = list(csv.DictReader(io.StringIO(done.out)))
    assert [row["verdict"] for row in rows] == ["minimum", "maximum", "saddle"]
    assert [(row["gradient_tolerance"], row["zero_below"]) for row in rows] == [("1e-06", "2e-08")] * 3
    with Image.open(tmp_path / "kinds.png") as picture:
        assert picture.width > picture.height > 300
        assert len(picture.convert("RGB").getcolors(1 << 20) or ()) > 200  # surfaces are drawn


def test_json_has_eigenvalues_derivatives_and_newtons_steps(capsys: pytest.CaptureFixture[str]) -> None:
    asked = ("--function", "x**4/4 - x**2/2", "--at", "0.4", "--newton", 9, "--format", "json")
    done = run(capsys, "landscape", *asked)
    assert done.status == 0, done.err
    report = json.loads(done.out)
    (point,) = report["points"]
    assert (point["verdict"], point["neighbours"]) == ("maximum", "lower")
    assert [row["eigenvalue"] for row in report["eigenvalues"]] == pytest.approx([-1])
    assert report["derivatives"][0]["H x"] == pytest.approx(-1)
    steps = [row["x"] for row in report["newton"]]
    # x - (x^3 - x) / (3 x^2 - 1) of 0.4 is 0.4 + 0.336 / -0.52
    assert steps[:2] == pytest.approx([0.4, 0.4 + 0.336 / -0.52])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "name a recipe or a run, or give a formula: dltool landscape --function"),
        (("--function", "x"), "--function and --at go together"),
        (("mlp/digits", *KINDS), "a recipe or run, --function and --between: one at a time"),
        (("mlp/digits", "--slice", "1d", "--critical-points", "3"), "--slice and --critical-points: one at a time"),
        (("mlp/digits", "--vary", "fit.epochs=1"), "--vary 'fit.epochs=1': write a key and its values"),
        (("mlp/digits", "--noise", "-1"), "--noise '-1': write standard deviations of at least 0"),
        (("--function", "x**2", "--at", "a"), "--at 'a': write one number for each variable"),
        (("--function", "x**2", "--at", "inf"), "--at 'inf': write one number for each variable"),
        (("--function", "x^2", "--at", "0"), "--function 'x^2': has a '^'. Write ** for powers."),
        ((*KINDS, "--slice", "1d"), "--function: options of nets do not go with formulas"),
        (("mlp/digits", "--newton", "3"), "--newton: goes with --function"),
        ((*KINDS, "--span", "0"), "--span: a number above 0. Got 0."),
        ((*KINDS, "--out", "a.txt"), "--out a.txt: must end in .png or .svg."),
        (("--function", "x*y*z", "--at", "0,0,0", "--out", "a.png"), "has 3 variables. A picture shows one or two."),
    ],
)
def test_mistakes_are_named_in_one_line(
    arguments: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    done = run(capsys, "landscape", *arguments)
    assert (done.status, done.out) == (2, "")
    assert message in done.err and done.err.count("\n") == 1
    assert not Path("a.png").exists()


TINY = """\
# Six hidden units.
data: {dataset: Digits, validation_split: 0.1}
model:
  - Rescaling: 0.0625
  - AveragePooling2D: 4
  - Flatten
  - Dense: {units: 6, activation: tanh, kernel_regularizer: {L2: 1e-2}, bias_regularizer: {L2: 1e-2}}
  - Dense: {units: 10, kernel_regularizer: {L2: 1e-2}, bias_regularizer: {L2: 1e-2}}
compile:
  optimizer: {SGD: {learning_rate: 0.5}}
  loss: {SparseCategoricalCrossentropy: {from_logits: true}}
fit: {epochs: 2, batch_size: 100}
seed: 1
"""


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("landscape")
    recipe = write_quick(folder, "tiny.yaml", TINY)
    for seed in (1, 2):
        trained(recipe, f"seed={seed}", "--out", folder / f"run{seed}")
    return folder


def report(capsys: pytest.CaptureFixture[str], *arguments: object) -> dict[str, list[dict[str, Any]]]:
    done = run(capsys, "landscape", *arguments, "--format", "json", "--device", "cpu")
    assert done.status == 0, done.err
    found: dict[str, list[dict[str, Any]]] = json.loads(done.out)
    return found


def test_a_run_has_its_loss_its_spectrum_and_a_picture(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = report(capsys, runs / "run1", "--limit", 0, "--out", runs / "spectrum.png")
    (point,) = found["point"]
    scores = json.loads(run(capsys, "eval", runs / "run1", "--split", "train", "--format", "json").out)["scores"]
    assert point["loss"] == pytest.approx(scores[0]["loss"], rel=1e-5)
    values = [row["eigenvalue"] for row in found["eigenvalues"]]
    assert len(values) == point["weights"] == 4 * 6 + 6 + 60 + 10 and values == sorted(values)
    assert point["verdict"] == "not critical"
    assert point["alpha"] == pytest.approx(point["negative"] / 100)
    assert (runs / "spectrum.png").is_file()


def test_of_a_training_in_stages_all_weights_count_that_learn_in_any(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stages = "procedure={Stages: [{trainable: dense, epochs: 1}, {trainable: dense_1, epochs: 1}]}"
    trained(runs / "tiny.yaml", stages, "--out", runs / "staged")
    (point,) = report(capsys, runs / "staged", "--limit", 20, "--spectrum", "ends")["point"]
    assert point["weights"] == 100
    asked = ("--limit", 20, "--points", 3, "--out", runs / "staged.png")
    one_way = report(capsys, "--between", runs / "staged", runs / "run1", *asked)["barrier"][0]
    other_way = report(capsys, "--between", runs / "run1", runs / "staged", *asked, "--overwrite")["barrier"][0]
    assert one_way["distance"] == pytest.approx(other_way["distance"])


@pytest.mark.slow
def test_a_table_shows_the_ends_and_csv_all_eigenvalues(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    done = run(capsys, "landscape", runs / "run1", "--limit", 50, "--spectrum", "full")
    assert "the lowest and the highest 10" in done.out
    done = run(capsys, "landscape", runs / "run1", "--limit", 50, "--spectrum", "full", "--format", "csv")
    assert len(done.out.splitlines()) == 101 and done.out.startswith("number,eigenvalue")


@pytest.mark.slow
def test_the_density_gives_an_estimate_of_alpha(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = (runs / "run1", "--limit", 50)
    full = report(capsys, *asked)["point"][0]
    found = report(capsys, *asked, "--spectrum", "density", "--ends", 3, "--out", runs / "density.svg")
    assert found["point"][0]["alpha"] == pytest.approx(full["alpha"], abs=0.05)
    assert found["point"][0]["highest"] == pytest.approx(full["highest"], rel=1e-6)
    assert [row["number"] for row in found["eigenvalues"]] == [1, 2, 3, 98, 99, 100]
    assert len(found["density"]) == 400


def test_a_slice_and_a_line_pass_through_the_runs_own_losses(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ("--limit", 0, "--points", 5, "--out")
    evaluated = run(capsys, "eval", runs / "run1", runs / "run2", "--split", "train", "--format", "json")
    own = [row["loss"] for row in json.loads(evaluated.out)["scores"][:2]]
    plane = report(capsys, runs / "run1", "--slice", "2d", *asked, runs / "plane.png")["slice"]
    assert len(plane) == 25
    assert [row["loss"] for row in plane if row["a"] == row["b"] == 0] == pytest.approx(own[:1], rel=1e-5)
    line = report(capsys, "--between", runs / "run1", runs / "run2", *asked, runs / "line.png")
    at = {row["share"]: row["loss"] for row in line["line"]}
    assert (at[0.0], at[1.0]) == pytest.approx(tuple(own), rel=1e-5)
    assert line["barrier"][0]["barrier"] >= 0 and {"loss_from", "loss_to", "distance"} <= set(line["barrier"][0])


def test_critical_points_of_a_recipe_are_found_after_its_training(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ("--critical-points", 2, "--noise", "0", "--limit", 0)
    found = report(capsys, runs / "tiny.yaml", *asked, "--out", runs / "points.png")
    rows = found["critical points"]
    assert [(row["silenced"], row["training_steps"]) for row in rows] == [(0, 26), (1, 26)]
    reached = [row for row in rows if row["verdict"] != "not critical"]
    assert reached and all(row["gradient_norm"] < 1e-6 < 1e-2 < row["start_norm"] for row in reached)
    assert found["correlation"][0]["critical"] == len(reached)
    assert (runs / "points.png").is_file()


def test_trainings_of_two_widths_differ_in_their_losses(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    key = "model.3.Dense.units"
    asked = ("--vary", f"{key}=1,6", "--trainings", 2, "--split", "test", "--limit", 0, "--out", runs / "spread.png")
    found = report(capsys, runs / "tiny.yaml", "fit.epochs=1", *asked)
    assert [(row[key], row["weights"], row["trainings"]) for row in found["spread"]] == [("1", 25, 2), ("6", 100, 2)]
    losses = [row["loss"] for row in found["trainings"]]
    assert len(set(losses)) == 4
    # two numbers a, b: mean (a + b) / 2, deviation |a - b| / sqrt(2)
    assert found["spread"][1]["mean"] == pytest.approx((losses[2] + losses[3]) / 2)
    assert found["spread"][1]["standard_deviation"] == pytest.approx(abs(losses[2] - losses[3]) / 2**0.5)
    assert (runs / "spread.png").is_file()
