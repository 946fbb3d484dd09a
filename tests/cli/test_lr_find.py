"""lr-find: its tables, its picture, its fragment and its refusals."""

from __future__ import annotations

import contextlib
import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dltool.cli import lr_find
from dltool.errors import DltoolError, UsageError, messages
from dltool.lr_schedule import patch as patching
from dltool.lr_schedule import rate_rules
from dltool.lr_schedule.range_tests import peak
from dltool.output.learning_rate_range import plot_range
from dltool.recipe import build, reading
from dltool.runs.preparation import prepare
from dltool.training.schedule_table import WINDOW
from tests.command_line import QUICK, run, write_quick

SCHEDULED = QUICK.replace("5e-3", "{PolynomialDecay: {initial_learning_rate: 1e-2, end_learning_rate: 1e-3, "
                                  "decay_steps: 2 epochs}}")  # fmt: skip
FROZEN = QUICK.replace("activation: relu}", "activation: relu, trainable: false}").replace(
    "Dense: ${data.num_classes}", "Dense: {units: 10, trainable: false}"
)


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    texts: list[str] = []
    monkeypatch.setattr(messages, "write", texts.append)
    return texts


@pytest.fixture
def find(written: list[str]) -> Callable[..., str]:
    def found(source: object, *overrides: str, **options: Any) -> str:
        lr_find.lr_find(str(source), [*overrides], device="cpu", **{"steps": 60, **options})
        return "".join(written)

    return found


def test_csv_has_a_row_a_step_and_json_the_rules(tmp_path: Path, find: Callable, written: list[str]) -> None:
    path = write_quick(tmp_path)
    rows = list(csv.DictReader(io.StringIO(find(path, form="csv"))))
    assert list(rows[0]) == ["step", "learning_rate", "loss", "smoothed"]
    assert float(rows[0]["learning_rate"]) == pytest.approx(1e-6)
    assert [int(row["step"]) for row in rows] == list(range(1, len(rows) + 1))
    written.clear()
    report = json.loads(find(path, form="json"))
    assert {row["rule"] for row in report["suggestions"]} == set(rate_rules.RULES)
    assert report["sweeps"][0]["recipe_learning_rate"] == pytest.approx(5e-3)
    assert [row["loss"] for row in report["sweep"]] == pytest.approx([float(row["loss"]) for row in rows], rel=1e-5)


def test_the_command_line_offers_the_rules_that_there_are(capsys: Any) -> None:
    assert [rule.value for rule in lr_find.Rule] == list(rate_rules.RULES)
    done = run(capsys, "lr-find", "mlp/digits", "--rule", "vally")
    assert (done.status, done.out) == (2, "")
    assert "valley" in done.err


def test_the_same_curve_is_the_same_svg_byte_for_byte() -> None:
    curve = {"learning_rate": [0.1, 1.0, 10.0], "loss": [3.0, 2.0, 9.0], "smoothed": [3.0, 2.5, 4.0]}
    pictures = []
    for _ in range(2):
        file = io.BytesIO()
        plot_range([curve], {"valley": 1.0}, file, "title", form="svg")
        pictures.append(file.getvalue())
    assert pictures[0] == pictures[1]
    assert b"<dc:date>" not in pictures[0]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("data={dataset: Digits}", "take something away"),
        ("compile.optimizer.Adam.learning_rate={Constant: 0.0}", "0 throughout"),
    ],
)
def test_a_fragment_that_cannot_be_written_is_refused_before_any_sweep(
    override: str, message: str, tmp_path: Path, find: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dltool.lr_schedule.range_test.sweep", lambda *a, **k: pytest.fail("it was swept"))
    with pytest.raises(UsageError, match=message):
        find(write_quick(tmp_path), override, patch=tmp_path / "found.yaml")
    assert not (tmp_path / "found.yaml").exists()


def test_seeds_differ_and_give_a_range_about_the_median(tmp_path: Path, find: Callable) -> None:
    report = json.loads(find(write_quick(tmp_path), form="json", seeds=3, validation=True))
    firsts = [row["loss"] for row in report["sweep"] if row["step"] == 1]
    assert len(set(firsts)) == 3
    assert all("validation_loss" in row for row in report["sweep"])
    for row in report["suggestions"]:
        if row["learning_rate"] is not None:
            assert row["lowest"] <= row["learning_rate"] <= row["highest"]


def test_a_fragment_trains_and_a_schedule_keeps_its_form(tmp_path: Path, find: Callable, capsys: Any) -> None:
    base = write_quick(tmp_path, text=SCHEDULED)
    picture, fragment = tmp_path / "range.svg", tmp_path / "sub" / "found.yaml"
    text = find(base, "fit.batch_size=32", plot=picture, patch=fragment, form="json")
    rate = next(row["learning_rate"] for row in json.loads(text)["suggestions"] if row["chosen"])
    assert picture.read_bytes().startswith(b"<?xml")
    loaded = build.load(fragment)
    schedule = loaded.setting("compile", "optimizer")["Adam"]["learning_rate"]["PolynomialDecay"]
    assert schedule["initial_learning_rate"] == pytest.approx(rate, rel=0.005)
    assert schedule["end_learning_rate"] == pytest.approx(rate / 10, rel=0.005)
    assert loaded.setting("fit", "batch_size") == 32
    assert "extends: ../quick.yaml" in fragment.read_text()
    assert run(capsys, "train", fragment, "--out", tmp_path / "run", "-q", "fit.epochs=1").status == 0


def test_the_peak_of_a_schedule_is_known_of_a_training_longer_than_the_table_of_its_rates(tmp_path: Path) -> None:
    text = QUICK.replace("5e-3", "{WarmUp: {schedule: 1e-2, warmup_steps: 1500000}}")
    prepared = prepare(str(write_quick(tmp_path, text=text)), ["fit.epochs=100000"], device="cpu")
    assert prepared.steps * prepared.epochs == 2_100_000 > WINDOW
    assert peak(prepared) == pytest.approx(1e-2)


def test_of_a_run_it_goes_on_from_the_trained_weights(
    tmp_path: Path, find: Callable, written: list[str], capsys: Any
) -> None:
    path = tmp_path / "run"
    assert run(capsys, "train", write_quick(tmp_path), "--out", path, "-q", "fit.epochs=20").status == 0
    written.clear()
    before = {file.name: file.read_bytes() for file in path.iterdir() if file.is_file()}
    with contextlib.suppress(DltoolError):  # there is little left to learn
        find(path, form="json", seeds=2)
    report = json.loads(written[0])
    assert len(report["sweeps"]) == 2
    assert all(row["loss"] < 1.0 for row in report["sweep"] if row["step"] == 1)  # ln 10 = 2.3 untrained
    assert {file.name: file.read_bytes() for file in path.iterdir() if file.is_file()} == before


@pytest.mark.parametrize(("noise", "reason"), [("{stddev: 0.0}", "flat"), ("{stddev: 1.0, seed: 1}", "noisy")])
@pytest.mark.parametrize("smoothing", [0.0, 0.9])
def test_a_model_that_cannot_learn_is_refused_with_its_table(
    noise: str, reason: str, smoothing: float, tmp_path: Path, find: Callable, written: list[str]
) -> None:
    added = f"  - Rescaling: 0.0\n  - GaussianNoise: {noise}\n  - Rescaling: 5.0\n"  # no gradient comes through zeros
    text = QUICK.replace("compile:", f"{added}compile:")
    outputs = {"plot": tmp_path / "range.png", "patch": tmp_path / "found.yaml"}
    with pytest.raises(DltoolError, match=f"no learning rate can be suggested: the loss is {reason}") as refused:
        find(write_quick(tmp_path, text=text), **outputs, smoothing=smoothing)
    assert refused.value.status == 1
    assert "minimum/10" in written[0]
    assert not any(path.exists() for path in outputs.values())


def test_a_model_without_trainable_weights_is_refused_before_any_sweep(
    tmp_path: Path, find: Callable, written: list[str]
) -> None:
    with pytest.raises(UsageError, match="no trainable weights"):
        find(write_quick(tmp_path, text=FROZEN))
    assert written == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"start": 1.0, "stop": 0.1}, "--from and --to"),
        ({"start": 0.0}, "--from and --to"),
        ({"steps": 5}, "--steps"),
        ({"smoothing": 1.0}, "--smoothing"),
        ({"plot": Path("x.pdf")}, "must end in .png or .svg"),
        ({"patch": Path("x.txt")}, "must end in .yaml or .yml"),
        ({"patch": Path(__file__).parents[2] / "recipes/mlp/digits.yaml"}, "exists already"),
    ],
)
def test_an_option_that_cannot_work_is_one_line_before_any_work(options: dict, message: str, find: Callable) -> None:
    with pytest.raises(UsageError, match=message) as refused:
        find("no/such/recipe", **options)
    assert str(refused.value).split("\n")[1:] == [
        "no/such/recipe: no such recipe. 'dltool recipes' lists the bundled ones."
    ]


def test_validation_without_a_split_is_an_error(tmp_path: Path, find: Callable) -> None:
    with pytest.raises(UsageError, match="no validation split"):
        find(write_quick(tmp_path), "data.validation_split=0", validation=True)


def test_the_command_line_finds_draws_and_writes_and_the_patch_is_a_recipe(tmp_path: Path, capsys: Any) -> None:
    picture, patch = tmp_path / "range.png", tmp_path / "found.yaml"
    options = ["--steps", 40, "--to", 1, "--seeds", 2, "--rule", "steepest", "--validation"]
    done = run(capsys, "lr-find", "mlp/digits", *options, "--plot", picture, "--write", patch, "--format", "json")
    assert done.status == 0, done.err
    report = json.loads(done.out)
    chosen = [row for row in report["suggestions"] if row["chosen"]]
    assert [row["rule"] for row in chosen] == ["steepest"]
    assert len(report["sweeps"]) == 2
    assert 1e-6 < chosen[0]["learning_rate"] < 1 == max(row["learning_rate"] for row in report["sweep"])
    assert picture.read_bytes().startswith(b"\x89PNG")
    rate = build.load(patch).setting("compile", "optimizer")["Adam"]["learning_rate"]
    assert rate == pytest.approx(chosen[0]["learning_rate"], rel=0.005)
    shown = json.loads(run(capsys, "lr-schedule", patch, "--format", "json").out)
    assert shown["schedules"][0]["peak"] == rate
    before = patch.read_bytes()
    again = run(capsys, "lr-find", "mlp/digits", *options, "--write", patch)
    assert (again.status, again.out, patch.read_bytes()) == (2, "", before)
    assert "--overwrite" in again.err


@pytest.mark.parametrize("options", [["--seeds", 0], ["--sweep", "cosine"], ["--log"], ["--at", 3]])
def test_an_option_that_it_does_not_have_is_refused(options: list, capsys: Any) -> None:
    done = run(capsys, "lr-find", "mlp/digits", *options)
    assert (done.status, done.out) == (2, "")
    assert options[0] in done.err


@pytest.mark.slow
@pytest.mark.data
def test_mnist_is_learned_with_the_rate_found_as_with_the_recipes_own(tmp_path: Path, capsys: Any) -> None:
    """Within 0.3 points of the test accuracy in the recipe's header, 0.9855."""
    patch, path = tmp_path / "found.yaml", tmp_path / "run"
    done = run(capsys, "lr-find", "mlp/mnist", "--write", patch)
    assert done.status == 0, done.err
    done = run(capsys, "train", patch, "--out", path, "-q")
    assert done.status == 0, done.err
    done = run(capsys, "eval", path, "--require", f"accuracy>={0.9855 - 0.003:.4f}")
    assert done.status == 0, done.err


@pytest.mark.parametrize(
    ("optimizer", "expected"),
    [
        ("adam", {"Adam": {"learning_rate": 0.5}}),
        ("{SGD: 0.1}", {"SGD": {"learning_rate": 0.5}}),
        ("{SGD: {momentum: 0.9}}", {"SGD": {"momentum": 0.9, "learning_rate": 0.5}}),
        (
            "{LossScaleOptimizer: {inner_optimizer: {SGD: {learning_rate: 0.1}}}}",
            {"LossScaleOptimizer": {"inner_optimizer": {"SGD": {"learning_rate": 0.5}}}},
        ),
        (
            "{SGD: {CosineDecay: {initial_learning_rate: 0.1, decay_steps: 5, alpha: 0.1}}}",
            {
                "SGD": {
                    "learning_rate": {"CosineDecay": {"initial_learning_rate": 0.25, "decay_steps": 5, "alpha": 0.1}}
                }
            },
        ),
        (
            "{SGD: {learning_rate: {PiecewiseConstantDecay: {boundaries: [3], values: [0.2, 0.1]}}}}",
            {"SGD": {"learning_rate": {"PiecewiseConstantDecay": {"boundaries": [3], "values": [0.5, 0.25]}}}},
        ),
    ],
)
def test_each_way_to_write_an_optimizer_takes_the_rate(tmp_path: Path, optimizer: str, expected: dict) -> None:
    text = QUICK.replace("{Adam: {learning_rate: 5e-3}}", optimizer)
    path = write_quick(tmp_path, text=text)
    peak = 0.2  # the new rate, 0.5, is 2.5 times that
    changed = patching.with_rate(reading.load(path), 0.5, peak, "Adam")
    assert changed.setting("compile", "optimizer") == expected
    fragment = tmp_path / "found.yaml"
    fragment.write_text(patching.fragment(str(path), changed, fragment, "Comment."))
    assert reading.load(fragment).plain() == changed.plain()


def test_a_bundled_recipe_is_extended_by_its_name(tmp_path: Path) -> None:
    changed = patching.with_rate(reading.load("mlp/digits"), 0.5, 1.0, "Adam")
    text = patching.fragment("mlp/digits", changed, tmp_path / "found.yaml", "Comment.")
    assert text == ("# Comment.\nextends: mlp/digits\ncompile:\n  optimizer:\n    Adam:\n      learning_rate: 0.5\n")
