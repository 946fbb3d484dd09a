"""dltool lr-schedule: what it shows is what training uses, without data, without Keras, at once."""
# ruff: noqa: E501

from __future__ import annotations

import csv
import inspect
import io
import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from dltool.library.schedules._base import Schedule
from dltool.library.schedules.chain import Chain
from dltool.library.schedules.constant import Constant
from dltool.library.schedules.cosine_decay import CosineDecay
from dltool.library.schedules.cosine_decay_restarts import CosineDecayRestarts
from dltool.library.schedules.cyclical import Cyclical
from dltool.library.schedules.linear_decay import LinearDecay
from dltool.library.schedules.one_cycle import OneCycle
from dltool.library.schedules.piecewise_constant_decay import PiecewiseConstantDecay
from dltool.library.schedules.polynomial_decay import PolynomialDecay
from dltool.library.schedules.restarts import Restarts
from dltool.library.schedules.step_decay import StepDecay
from dltool.library.schedules.warm_up import WarmUp
from dltool.lr_schedule import plan as planning
from dltool.lr_schedule import plateau, schedule_figures
from dltool.output.terminal_plot import Curve, plot
from dltool.recipe import catalogue, declarations, reading, signatures
from tests.cli.test_cli_light import LIGHT_SECONDS, watched
from tests.command_line import Done, run, write_quick

TINY = """\
# Points on a line.
data: {dataset: {Line: {samples: 25}}, test_split: 0}
model: [Dense: 1]
compile:
  optimizer: {SGD: {learning_rate: 0.001}}
  loss: mse
fit: {epochs: 4, batch_size: 5}                  # 5 steps an epoch
"""
FLOAT32 = 2.0**-23  # relative: one unit in the last place
# Values for required arguments, by name, small as a rate must be that does not diverge here.
ARGUMENTS: dict[str, Any] = {
    "base_learning_rate": 1e-4, "boundaries": [3, "2 epochs"], "d_model": 64, "decay_rate": 0.5, "decay_steps": "1.5 epochs",
    "end_learning_rate": 1e-5, "first_decay_steps": 6, "initial_learning_rate": 1e-3, "max_learning_rate": 1e-3, "period": 7,
    "schedule": {"StepDecay": {"initial_learning_rate": 1e-3, "decay_steps": 3}}, "schedules": [1e-3, {"Constant": 2e-4}, 1e-4],
    "step_size": 3, "total_steps": "4 epochs", "value": 1e-3, "values": [1e-3, 5e-4, 1e-4], "warmup_steps": 6, "factor": 0.05,
}  # fmt: skip


def in_words(name: str) -> str:
    parameters = inspect.signature(catalogue.find("schedules", name)).parameters
    given = {
        key: ARGUMENTS[key]
        for key, p in parameters.items()
        if p.default is p.empty or (key, name) == ("factor", "Noam")
    }
    return json.dumps({name: given})


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def report(capsys: pytest.CaptureFixture[str], *arguments: object) -> dict[str, list[dict[str, Any]]]:
    done = run(capsys, "lr-schedule", *arguments, "--format", "json")
    assert done.status == 0, done.err
    return json.loads(done.out)


def failed(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    done: Done = run(capsys, "lr-schedule", *arguments)
    assert (done.status, done.out, len(done.err.splitlines())) == (2, "", 1), done.err
    return done.err.strip()


# -- the preview is what training uses -----------------------------------------------------------------


@pytest.mark.parametrize("name", catalogue.own("schedules"))
def test_every_schedules_preview_is_what_training_logs(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dltool.output.history.plot_history", lambda *anything: None)  # not looked at, and slow
    path = write_quick(tmp_path, "tiny.yaml", TINY)
    rate = f"compile.optimizer.SGD.learning_rate={in_words(name)}"
    preview = rows(run(capsys, "lr-schedule", path, rate, "--format", "csv").out)
    assert [int(row["step"]) for row in preview] == list(range(20))
    done = run(capsys, "train", path, rate, "--out", tmp_path / "run")
    assert done.status == 0, done.err
    logged = rows((tmp_path / "run" / "history.csv").read_text())
    assert [int(row["step"]) for row in logged] == [5, 10, 15, 20]
    for row in logged:
        planned = float(preview[int(row["step"]) - 1]["learning_rate"])
        assert float(row["learning_rate"]) == pytest.approx(planned, rel=FLOAT32, abs=1e-45)
    found = report(capsys, tmp_path / "run")["agreement"]
    assert [row["argument"] for row in found] == ["learning_rate"]
    assert found[0]["epochs"] == 4 and found[0]["max_relative_difference"] <= FLOAT32


def test_with_gradient_accumulation_preview_and_log_still_agree(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rise = "{LinearDecay: {initial_learning_rate: 0.5, end_learning_rate: 0.9, decay_steps: 4 epochs}}"
    fall = "{LinearDecay: {initial_learning_rate: 1e-3, end_learning_rate: 0, decay_steps: 4 epochs}}"
    arguments = f"learning_rate: {fall}, momentum: {rise}, gradient_accumulation_steps: 3"
    path = write_quick(tmp_path, "tiny.yaml", TINY)
    done = run(capsys, "train", path, f"compile.optimizer={{SGD: {{{arguments}}}}}", "--out", tmp_path / "run")
    assert done.status == 0, done.err
    last = rows((tmp_path / "run" / "history.csv").read_text())[-1]
    assert float(last["learning_rate"]) == pytest.approx(1e-3 / 20, rel=1e-5)  # step 19 of 20
    assert float(last["momentum"]) == pytest.approx(0.5 + 0.4 * 19 / 20)
    found = report(capsys, tmp_path / "run")["agreement"]
    assert {row["argument"]: row["epochs"] for row in found} == {"learning_rate": 4, "momentum": 4}
    assert max(row["max_relative_difference"] for row in found) <= FLOAT32


@pytest.mark.parametrize(
    ("optimizer", "rate"), [("adam", 0.001), ("SGD", 0.01), ("rmsprop", 0.001), ("{Adadelta: {rho: 0.9}}", 0.001)]
)
def test_a_rate_that_is_not_given_is_kerass_own(
    optimizer: str, rate: float, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_quick(tmp_path)
    found = report(capsys, path, f"compile.optimizer={optimizer}")
    assert [row["peak"] for row in found["schedules"]] == [rate]
    assert float(keras.optimizers.get("adam").learning_rate) == pytest.approx(0.001)


def test_steps_follow_from_the_data(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    # 1,797 digits: ceil(0.2 n) = 360 for test, ceil(0.1 * 1437) = 144 for validation, 1,293 left: 21 batches of 64
    path = write_quick(tmp_path)
    assert [(row["steps"], row["epochs"]) for row in report(capsys, path)["schedules"]] == [(42, 2)]
    fewer = report(capsys, path, "fit.steps_per_epoch=9", "fit.epochs=3")["schedules"]
    assert [(row["steps"], row["epochs"]) for row in fewer] == [(27, 3)]
    assert "must be at most 21, the batches of the training split. Got 22" in failed(
        capsys, path, "fit.steps_per_epoch=22"
    )


@pytest.mark.parametrize(
    ("dataset", "size"), [("Mnist", 60_000), ("FashionMnist", 60_000), ("Cifar10", 50_000), ("Cifar100", 50_000)]
)
def test_data_that_are_not_here_yet_have_their_published_size(
    dataset: str, size: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DLTOOL_DATA", raising=False)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    plan = planning.of_recipe(str(write_quick(tmp_path)), [f"data.dataset={dataset}", "data.validation_split=0"], "x")
    assert plan.steps_per_epoch == math.ceil(size / 64)
    assert not (tmp_path / "keras").exists(), "something was downloaded"


def test_a_missing_table_is_the_usual_error_unless_the_steps_are_given(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = "data.dataset={Csv: {path: nowhere.csv, target: y}}"
    path = write_quick(tmp_path)
    assert "No file nowhere.csv: check the 'path' parameter of Csv." in failed(capsys, path, table)
    assert report(capsys, path, table, "fit.steps_per_epoch=7")["schedules"][0]["steps"] == 14


# -- at once, without Keras ----------------------------------------------------------------------------


SHOWN = """
import contextlib, io, json, sys
from dltool.cli import app
shown = {}
for command in json.loads(sys.argv[1]):
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        try:
            app.main(command)
        except SystemExit as ended:
            shown[command[1]] = [ended.code or 0, said.getvalue()]
print(json.dumps([shown, sorted(sys.modules)]))
"""


def test_every_bundled_recipe_is_shown_without_tensorflow(tmp_path: Path) -> None:
    """In one process for all; how soon one is shown is the next test's claim."""
    (tmp_path / "diabetes.csv").write_text("age,sex,target\n" + "".join(f"{i},{i % 2},{i / 7}\n" for i in range(50)))
    commands = []
    for name in reading.bundled_names():
        dataset = reading.object_name(reading.load(name).section("data", "dataset"))
        given = ["fit.steps_per_epoch=100"] if dataset in ("ParallelText", "TextFile") else []  # which may not be here
        commands.append(["lr-schedule", name, *given])
    environment = {name: value for name, value in os.environ.items() if name != "DLTOOL_DATA"}
    done = subprocess.run(
        [sys.executable, "-c", SHOWN, json.dumps(commands)],
        capture_output=True, text=True, check=True, cwd=tmp_path, env=environment,
    )  # fmt: skip
    shown, modules = json.loads(done.stdout)
    assert not {"tensorflow", "keras", "scipy", "sklearn", "matplotlib"} & set(modules)
    assert list(shown) == reading.bundled_names()
    for name, (status, said) in shown.items():
        has_rate = declarations.uses_optimizer(reading.load(name).procedure)
        assert status == (0 if has_rate else 2), said
        assert "learning rate" in said and name in said


@pytest.mark.parametrize("name", ["mlp/digits", "cnn/resnet50", "seq2seq/number-words"])
def test_a_recipe_is_shown_at_once(name: str, tmp_path: Path) -> None:
    status, said, modules, seconds = watched("lr-schedule", name, limit=LIGHT_SECONDS, cwd=tmp_path)
    assert status == 0, said
    assert not {"tensorflow", "keras", "scipy", "sklearn", "matplotlib"} & set(modules)
    assert "learning rate" in said and name in said
    assert seconds < LIGHT_SECONDS


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ("compile.optimizer=Adm", "command line:1:19: compile.optimizer: no optimizer named 'Adm'. Did you mean 'Adam'?"),
        ("compile.optimizer=adm", "command line:1:19: compile.optimizer: no optimizer named 'adm'. Did you mean 'adam'?"),
        ("compile.optimizer.Adam.beta1=1", "command line:1:1: compile.optimizer.Adam: no argument 'beta1'. Did you mean 'beta_1'?"),
        ("compile.optimizer.Adam.learning_rate.CosineDekay=1",
         "command line:1:1: compile.optimizer.Adam.learning_rate: no schedule named 'CosineDekay'. Did you mean 'CosineDecay'?"),
        ("compile.optimizer.Adam.learning_rate={StepDecay: {initial_learning_rate: 0.1, decay_steps: -5}}",
         "command line:1:39: compile.optimizer.Adam.learning_rate.StepDecay: The 'decay_steps' parameter of StepDecay must be an int > 0. Got -5 instead."),
    ],
)  # fmt: skip
def test_what_is_misspelt_is_one_line_without_keras(change: str, line: str, tmp_path: Path) -> None:
    write_quick(tmp_path)
    status, said, modules, _ = watched("lr-schedule", "quick.yaml", change, limit=LIGHT_SECONDS, cwd=tmp_path)
    assert (status, said.splitlines()) == (2, [f"dltool: {line}"])
    assert not {"tensorflow", "keras"} & set(modules)


def test_directions_of_metrics_are_kerass_own() -> None:
    found = signatures.metric_modes()
    assert len(found) > 20
    for name in catalogue.known("metrics"):
        try:
            metric = catalogue.find("metrics", name)()
        except (TypeError, ValueError):
            continue  # needs arguments
        direction = getattr(metric, "_direction", None)
        if direction is not None and metric.name in found:
            assert found[metric.name] == {"up": "max", "down": "min"}[direction], name


# -- schedules in words, overlays, tables --------------------------------------------------------------

COSINE = "CosineDecay: {initial_learning_rate: 0.1, decay_steps: 1000}"


def test_a_schedule_in_words_has_its_own_length_or_the_steps_given(capsys: pytest.CaptureFixture[str]) -> None:
    assert report(capsys, COSINE)["schedules"][0]["steps"] == 1000
    assert report(capsys, COSINE, "CosineDecay.decay_steps=50")["schedules"][0]["steps"] == 50
    assert report(capsys, COSINE, "--steps", 400)["schedules"][0]["steps"] == 400
    epochs = "StepDecay: {initial_learning_rate: 0.1, decay_steps: 2 epochs}"
    found = report(capsys, epochs, "--epochs", 5, "--steps-per-epoch", 30, "--at", "1.99 epochs", "--at", "2 epochs")
    assert found["schedules"][0]["steps"] == 150
    # round(1.99 * 30) = 60 is the first step of the drop, as 2 * 30 is
    assert [(row["step"], row["epoch"], row["learning_rate"]) for row in found["values"]] == [(60, 2.0, 0.05)]


def test_a_schedule_beside_a_recipe_has_the_recipes_steps(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = report(capsys, "StepDecay: {initial_learning_rate: 0.1, decay_steps: 1 epoch}", write_quick(tmp_path))
    assert [row["steps"] for row in found["schedules"]] == [42, 42]
    assert found["schedules"][0]["area"] == pytest.approx(21 * 0.1 + 21 * 0.05)


def test_each_override_is_for_the_source_before_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, key = write_quick(tmp_path), "compile.optimizer.Adam.learning_rate"
    found = report(capsys, path, path, f"{key}=0.1", "fit.epochs=5", path, f"{key}=0.2")
    assert [(row["peak"], row["steps"]) for row in found["schedules"]] == [(0.005, 42), (0.1, 105), (0.2, 42)]
    assert len({row["source"] for row in found["schedules"]}) == 3
    twice = report(capsys, path, path)["schedules"]
    assert [row["source"] for row in twice] == [str(path), f"{path} (2)"]


def test_csv_has_a_row_a_step_and_columns_for_all_that_is_scheduled(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sgd = "compile.optimizer={SGD: {learning_rate: 0.1, momentum: {LinearDecay: {initial_learning_rate: 0.5, end_learning_rate: 0.9, decay_steps: 40}}}}"
    path = write_quick(tmp_path)
    found = rows(run(capsys, "lr-schedule", path, sgd, "Constant: 0.2", "--every", "0.5 epochs", "--format", "csv").out)
    assert list(found[0]) == ["step", "epoch", "source", "learning_rate", "momentum"]
    assert [int(row["step"]) for row in found] == 2 * [0, 10, 20, 30, 40, 41]  # round(10.5) is 10; the last step too
    assert [float(row["momentum"]) for row in found[:6]] == pytest.approx([0.5, 0.6, 0.7, 0.8, 0.9, 0.9])
    assert found[-1]["momentum"] == "" and found[-1]["learning_rate"] == "0.2"


def test_key_points_are_those_of_the_curve(capsys: pytest.CaptureFixture[str]) -> None:
    spec = "WarmUp: {schedule: {LinearDecay: {initial_learning_rate: 0.4, end_learning_rate: 0.1, decay_steps: 30}}, warmup_steps: 10}"
    found = report(capsys, spec, "--steps", 60)["key points"]
    assert [(row["step"], row["point"], round(row["learning_rate"], 6)) for row in found] == [
        (0, "start, minimum", 0.0),
        (10, "peak, end of warm-up", 0.4),
        (40, "end of schedule", 0.1),
        (59, "final", 0.1),
    ]


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["fit.epochs=3"], "fit.epochs=3: comes before any recipe"),
        ([COSINE, "--at", "1001"], "--at '1001' is beyond the end"),
        ([COSINE, "--at", "-1"], "--at must be a step (an int >= 0) or '3.5 epochs'. Got '-1'."),
        ([COSINE, "--at", "3 epochs"], "has no epochs: give --steps-per-epoch, or a step."),
        ([COSINE, "--every", "0"], "--every must be a step (an int >= 1)"),
        ([COSINE, "--x", "epochs"], "--x epochs: CosineDecay"),
        ([COSINE, "--epochs", "3"], "--epochs needs the steps of one: give --steps-per-epoch"),
        ([COSINE, "--epochs", "3", "--steps", "9"], "--steps and --epochs exclude each other"),
        (["mlp/digits", "--steps", "9"], "--steps is for a schedule alone"),
        (["mlp/digits", "--at", "61 epochs"], "--at '61 epochs' is beyond the end: mlp/digits ends after step 2,460 (epoch 60)."),
        (["CosineDecai: {initial_learning_rate: 1}"], "schedule:1:1: no schedule named 'CosineDecai'. Did you mean 'CosineDecay'?"),
        (["CosineDecay: {initial_learning_rate: 1, decay_steps: -3}"], "must be an int > 0. Got -3 instead."),
        (["CosineDecay: {initial_learning_rate: 1, decay_steps: 3 epochs}"], "'3 epochs' needs the steps of one: give --steps-per-epoch."),
        ([COSINE, "decay_steps=3"], "is CosineDecay: write CosineDecay.decay_steps=..."),
        (["mlp/digitz"], "mlp/digitz: no such recipe. Did you mean 'mlp/digits'?"),
        (["mlp/digits", "cnn/digits", "--metrics", "1,2"], "of several sources one must have a ReduceLROnPlateau"),
        (["mlp/digits", "--metrics", "1,2"], "mlp/digits: has no ReduceLROnPlateau: add it"),
        (["mlp/digits", "fit.callbacks=[ReduceLROnPlateau]", "--metrics", "1,x"], "must be numbers between commas"),
        (["mlp/digits", "fit.callbacks=[ReduceLROnPlateau]", "--metrics", "no.csv"], "no.csv: cannot be read"),
        (["mlp/digits", "fit.callbacks=[{ReduceLROnPlateau: {monitor: val_speed}}]", "--metrics", "1,2"],
         "it is not known whether 'val_speed' is to fall or to rise: set its mode to min or max"),
        (["mlp/mnist", "--plot", "x.pdf"], "--plot x.pdf: must end in .png or .svg."),
    ],
)  # fmt: skip
def test_bad_usage_is_one_line(arguments: list[str], line: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert line in failed(capsys, *arguments)


def test_the_end_itself_may_be_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert report(capsys, COSINE, "--at", 1000)["values"][0]["learning_rate"] == pytest.approx(0.0, abs=1e-17)


# -- figures and warnings ------------------------------------------------------------------------------


@pytest.mark.parametrize("window", [3, 7, 2**20])
def test_figures_do_not_depend_on_how_many_steps_are_looked_at_together(
    window: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schedule_figures, "WINDOW", window)
    schedule = Chain([LinearDecay(0.1, 1.0, 9), 0.01, LinearDecay(0.5, 0.0, 4)], [10, 14])
    values = schedule(np.arange(25))
    found = schedule_figures.figures(schedule, 25)
    assert (found.peak, found.peak_step) == (1.0, 9)
    assert (found.minimum, found.minimum_step, found.final) == (0.0, 18, 0.0)
    assert found.area == pytest.approx(values.sum()) and found.mean == pytest.approx(values.mean())
    assert [(step, before, after) for step, before, after in found.jumps] == [(10, 1.0, 0.01), (14, 0.01, 0.5)]
    assert found.zero_from == 18
    zeros = PiecewiseConstantDecay([2, 5, 8, 13], [0.1, 0.0, 0.1, 0.0, 0.2])
    assert [step for step, _, _ in schedule_figures.figures(zeros, 25).jumps] == [3, 6, 9, 14]


@pytest.mark.parametrize(
    ("schedule", "steps", "sentences"),
    [
        (WarmUp(0.1, 50), 40, ["the warm-up of 50 steps is longer than the run of 40"]),
        (WarmUp(0.1, 40), 50, []),
        (CosineDecayRestarts(0.1, 10, alpha=0.2), 69, ["the last cycle is cut short: 39 of its 40 steps, from step 30"]),
        (CosineDecayRestarts(0.1, 10, alpha=0.2), 70, []),
        (Cyclical(0.1, 0.2, 5), 25, ["the last cycle is cut short: 5 of its 10 steps, from step 20"]),
        (Cyclical(0.1, 0.2, 5), 30, []),
        (LinearDecay(0.1, 0.0, 10), 15, ["it is zero from step 10 on: the last 5 steps do nothing"]),
        (LinearDecay(0.1, 0.0, 15), 15, []),
        (LinearDecay(0.1, 0.02, 10), 15, ["it ends at step 10: it stays at 0.02 for the last 5 steps"]),
        (CosineDecay(0.1, 20), 10, []),
        (StepDecay(0.1, 5, 0.05), 9, ["it jumps by a factor of 20 at step 5, from 0.1 to 0.005"]),
        (StepDecay(0.1, 5, 0.1), 9, []),
        (PolynomialDecay(0.1, 50, 0.0, power=4.0), 50, []),
        (WarmUp(0.1, 5, initial_learning_rate=1e-8), 9, []),
        (Constant(0.0), 9, ["it is zero from step 0 on: the last 9 steps do nothing"]),
        (Chain([OneCycle(0.1, 100), 0.01], [50]), 200,
         ["a cycle is cut short by what follows: 50 of its 100 steps, from step 0"]),
        (Chain([OneCycle(0.1, 50), 1e-6], [50]), 200, []),
        (Chain([0.1, WarmUp(0.1, 500)], [50]), 200,
         ["the warm-up of 500 steps is longer than the 150 it has from step 50", "it jumps at step 50, from 0.1 to 0"]),
        (Chain([WarmUp(0.1, 500), 0.05], [50]), 200,
         ["the warm-up of 500 steps is longer than the 50 it has from step 0"]),
        (Chain([WarmUp(0.1, 40), 0.1], [50]), 200, []),
        (Chain([0.1, 0.05], [5000]), 200, ["part 2 of 2 is never reached: it begins at step 5000"]),
        (Chain([0.1, 0.05], [199]), 200, []),
        (Restarts(Chain([0.1, 0.05], [60]), 50), 100, ["part 2 of 2 is never reached: it begins at step 60"]),
        (WarmUp(Chain([0.1, 0.05, 0.02], [90, 195]), 10), 200, ["part 3 of 3 is never reached: it begins at step 205"]),
        (Restarts(WarmUp(0.1, 100), 50), 100,
         ["the warm-up of 100 steps is longer than the 50 it has from step 0", "it jumps at step 50, from 0.049 to 0"]),
        (PiecewiseConstantDecay([10, 20], [0.1, 0, 0.1]), 30,
         ["it jumps at step 11, from 0.1 to 0", "it jumps at step 21, from 0 to 0.1"]),
        (PiecewiseConstantDecay([10], [0.1, 0]), 30, ["it is zero from step 11 on: the last 19 steps do nothing"]),
        (PiecewiseConstantDecay([10], [0.9, 0.09]), 30, []),
        (PiecewiseConstantDecay([10], [0.9, 0.0899]), 30, ["it jumps by a factor of 10 at step 11, from 0.9 to 0.0899"]),
        (Cyclical(0.0, 0.2, 5), 30, []),
        (LinearDecay(0.1, 0.0, 9), 10, []),
    ],
)  # fmt: skip
def test_likely_mistakes_are_told_and_nothing_else(schedule: Schedule, steps: int, sentences: list[str]) -> None:
    found = schedule_figures.figures(schedule, steps)
    assert schedule_figures.warnings(schedule, found, lambda step: f"step {step}") == sentences


def test_warnings_go_to_stderr_with_source_and_epoch(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_quick(tmp_path)
    rate = "compile.optimizer.Adam.learning_rate={LinearDecay: {initial_learning_rate: 0.1, end_learning_rate: 0, decay_steps: 1 epoch}}"
    done = run(capsys, "lr-schedule", path, rate)
    assert done.err == (
        f"dltool: {path} {rate}: learning_rate: it is zero from step 21 (epoch 1) on: the last 21 steps do nothing.\n"
    )
    assert "do nothing" not in done.out


# -- plateaus ------------------------------------------------------------------------------------------


class Model:
    """As much of a model as Keras's callback looks at."""

    def __init__(self, rate: float) -> None:
        self.optimizer = keras.optimizers.SGD(rate)


@pytest.mark.parametrize("seed", range(40))
def test_plateaus_are_those_of_kerass_callback(seed: int) -> None:
    rng = np.random.default_rng(seed)
    arguments = {
        "factor": float(rng.choice([0.1, 0.5, 0.9])),
        "patience": int(rng.integers(0, 4)),
        "mode": str(rng.choice(["min", "max"])),
        "min_delta": float(rng.choice([0.0, 1e-4, 0.05, -0.05])),
        "cooldown": int(rng.integers(0, 4)),
        "min_lr": float(rng.choice([0.0, 1e-3, 0.03])),
    }
    metric = np.round(rng.normal(size=40).cumsum() * 0.1, 2).tolist()
    metric[int(rng.integers(40))] = math.nan
    metric[int(rng.integers(40))] = None
    model = Model(0.1)
    callback = keras.callbacks.ReduceLROnPlateau(monitor="figure", **arguments)
    callback.set_model(model)
    callback.on_train_begin()
    expected = []
    for epoch, value in enumerate(metric):
        before = float(model.optimizer.learning_rate)
        with pytest.warns(UserWarning) if value is None else _nothing():
            callback.on_epoch_end(epoch, {} if value is None else {"figure": value})
        expected.append((before, float(model.optimizer.learning_rate), callback.wait))
    found = plateau.simulate(metric, 0.1, **arguments)
    assert [(epoch.learning_rate, epoch.next_learning_rate, epoch.wait) for epoch in found] == expected


class _nothing:  # noqa: N801 - reads as a context
    def __enter__(self) -> None: ...

    def __exit__(self, *details: object) -> None: ...


PLATEAU = "fit.callbacks=[{ReduceLROnPlateau: {monitor: val_accuracy, patience: 1, factor: 0.5, min_delta: 0.2}}]"


def test_a_given_metric_shows_what_a_plateau_does(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_quick(tmp_path)
    found = report(capsys, path, PLATEAU, "fit.epochs=5", "--metrics", "0.3,0.4,0.9,0.9")
    # 0.4 is no better than 0.3 by 0.2: halved after epoch 2; 0.9 is; the second 0.9 is not
    assert [row["reduced"] for row in found["plateau"]] == [False, True, False, True]
    assert found["schedules"][0]["area"] == pytest.approx(21 * (2 * 0.005 + 2 * 0.0025 + 0.00125))
    both = report(capsys, COSINE, path, PLATEAU, "fit.epochs=5", "--metrics", "0.3,0.4,0.9,0.9", "--steps", 9)
    assert both["plateau"] == found["plateau"] and len(both["schedules"]) == 2
    column = tmp_path / "history.csv"
    column.write_text("epoch,val_accuracy\n1,0.3\n2,0.4\n3,0.9\n4,0.9\n")
    assert report(capsys, path, PLATEAU, "fit.epochs=5", "--metrics", column)["plateau"] == found["plateau"]


def test_two_plateaus_are_not_passed_off_as_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    both = "fit.callbacks=[{ReduceLROnPlateau: {monitor: loss}}, {ReduceLROnPlateau: {monitor: val_loss}}]"
    path = write_quick(tmp_path)
    assert "has 2 ReduceLROnPlateau, and --metrics shows one: remove the others." in failed(
        capsys, path, both, "--metrics", "1,2"
    )
    done = run(capsys, "lr-schedule", path, both)
    assert done.status == 0
    assert "2 ReduceLROnPlateau lower it by loss and val_loss: what they do together is not shown." in done.err


@pytest.mark.parametrize(
    ("argument", "line"),
    [
        (
            "factor: high",
            "The 'factor' parameter of ReduceLROnPlateau must be a finite number < 1. Got 'high' instead.",
        ),
        ("factor: 1.5", "The 'factor' parameter of ReduceLROnPlateau must be a finite number < 1. Got 1.5 instead."),
        (
            "patience: soon",
            "The 'patience' parameter of ReduceLROnPlateau must be a finite number. Got 'soon' instead.",
        ),
    ],
)
def test_a_plateau_that_cannot_be_is_refused_without_its_metric_too(
    argument: str, line: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    callback = f"fit.callbacks=[{{ReduceLROnPlateau: {{{argument}}}}}]"
    assert f"fit.callbacks[0].ReduceLROnPlateau: {line}" in failed(capsys, write_quick(tmp_path), callback)


def test_without_its_metric_a_plateau_is_said_to_be_unknown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    done = run(capsys, "lr-schedule", write_quick(tmp_path), PLATEAU)
    assert done.status == 0
    assert "ReduceLROnPlateau lowers it by val_accuracy, not known yet: give --metrics to see how." in done.err


# -- runs ----------------------------------------------------------------------------------------------


def test_a_runs_plateau_is_planned_as_it_was_logged(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    done = run(capsys, "train", write_quick(tmp_path), PLATEAU, "fit.epochs=6", "--out", tmp_path / "run")
    assert done.status == 0, done.err
    found = report(capsys, tmp_path / "run")
    logged = [row["logged"] for row in found["planned and logged"]]
    assert len(set(logged)) > 2, "nothing was reduced: the test shows nothing"
    assert found["agreement"][0]["max_relative_difference"] <= FLOAT32
    beyond = report(capsys, tmp_path / "run", "fit.epochs=8")
    assert beyond["after --resume"][0]["step"] == 126
    assert beyond["after --resume"][0]["learning_rate"] == pytest.approx(found["plateau"][-1]["next_learning_rate"])


def test_what_resume_uses_is_what_is_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rate = "compile.optimizer.Adam.learning_rate={CosineDecay: {initial_learning_rate: 0.01, decay_steps: 4 epochs}}"
    folder = tmp_path / "run"
    assert run(capsys, "train", write_quick(tmp_path), rate, "--out", folder).status == 0
    told = report(capsys, folder, "fit.epochs=4")["after --resume"]
    # 2 epochs of 21 steps are done: the next step is 42, the next epochs' last ones are 62 and 83
    assert [row["step"] for row in told] == [42, 62, 83]
    assert run(capsys, "train", folder, "fit.epochs=4", "--resume", "--accept-changes").status == 0
    logged = [float(row["learning_rate"]) for row in rows((folder / "history.csv").read_text())]
    assert logged[2:] == pytest.approx([row["learning_rate"] for row in told[1:]], rel=FLOAT32, abs=1e-12)
    finished = run(capsys, "lr-schedule", folder)
    assert "all 84 steps are done: --resume goes on with a larger fit.epochs." in finished.err


def test_a_run_is_shown_without_its_data(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = tmp_path / "points.csv"
    table.write_text("x,y\n" + "".join(f"{i / 50},{i / 25}\n" for i in range(50)))
    recipe_ = write_quick(tmp_path, text=TINY.replace("{Line: {samples: 25}}", f"{{Csv: {{path: {table}, target: y}}}}")
                          .replace("[Dense: 1]", "[FeatureSpace: '${data.features}', Dense: 1]"))  # fmt: skip
    assert run(capsys, "train", recipe_, "--out", tmp_path / "run").status == 0
    before = report(capsys, tmp_path / "run")
    assert before["schedules"][0]["steps"] == 4 * 10  # 50 rows in batches of 5
    elsewhere = tmp_path / "moved.csv"
    table.rename(elsewhere)
    assert report(capsys, tmp_path / "run") == before
    moved = f"data.dataset.Csv.path={elsewhere}"
    assert report(capsys, tmp_path / "run", moved)["schedules"] == [
        {**row, "source": f"{tmp_path / 'run'} {moved}"} for row in before["schedules"]
    ]


def test_a_damaged_run_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "run"
    (folder / "checkpoint").mkdir(parents=True)
    write_quick(folder, "recipe.yaml")
    (folder / "checkpoint" / "state.npz").write_bytes(b"PK half")
    done = run(capsys, "lr-schedule", folder)
    assert (done.status, len(done.err.splitlines())) == (5, 1)
    assert "state.npz: is damaged" in done.err


# -- drawings ------------------------------------------------------------------------------------------


def test_a_line_is_drawn_from_corner_to_corner() -> None:
    x = np.arange(101.0)
    drawn = plot([Curve("a", x, x), Curve("b", x, 100 - x)], "y", "step", width=42, height=5).splitlines()
    assert drawn[0] == "y"
    assert drawn[1].startswith("       100 ┤+") and drawn[1].endswith("•")  # b begins at the top, a ends there
    assert drawn[5].startswith("         0 ┤•") and drawn[5].endswith("+")
    assert drawn[-2:] == ["            • a", "            + b"]
    assert drawn[7].split() == ["0", "50", "100", "step"]


@pytest.mark.parametrize("peak", [0.1, 0.3, 0.7])
@pytest.mark.parametrize("height", [5, 13])
def test_the_axis_of_a_curve_that_falls_to_zero_ends_in_zero(peak: float, height: int) -> None:
    drawn = plot([Curve("a", np.arange(2.0), np.array([peak, 0.0]))], "y", "step", height=height).splitlines()
    assert (drawn[1].split()[0], drawn[height].split()[0]) == (f"{peak:g}", "0")


def test_one_curve_is_drawn_in_dots_and_shows_a_single_spike() -> None:
    y = np.ones(5000)
    y[2500] = 9.0
    drawn = plot([Curve("a", np.arange(5000.0), y)], "y", "step", width=42).splitlines()
    assert drawn[1].strip("9 ┤") and all(0x2800 < ord(sign) < 0x2900 for sign in drawn[1].partition("┤")[2].strip())


def test_a_logarithmic_drawing_leaves_zero_out_and_a_constant_is_drawn() -> None:
    x = np.arange(4.0)
    drawn = plot([Curve("a", x, np.array([0.0, 0.01, 0.1, 1.0]))], "y", "step", width=42, height=4, log=True)
    assert [line.partition("┤")[0].strip() for line in drawn.splitlines()[1:5]] == ["1", "0.2154", "0.04642", "0.01"]
    assert "nothing to draw" in plot([Curve("a", x, np.zeros(4))], "y", "step", log=True)
    assert "┤" in plot([Curve("a", x, np.zeros(4))], "y", "step")


@pytest.mark.parametrize("suffix", ["png", "svg", "PNG"])
def test_pictures_appear_whole_and_replace_nothing_unasked(
    suffix: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / f"rates.{suffix}"
    arguments = [
        "lr-schedule",
        COSINE,
        "StepDecay: {initial_learning_rate: 0.1, decay_steps: 300}",
        "--plot",
        target,
        "--log",
    ]
    assert run(capsys, *arguments).status == 0
    first = target.read_bytes()
    assert first.startswith(b"\x89PNG") if suffix.lower() == "png" else b"</svg>" in first
    refused = run(capsys, *arguments)
    assert (refused.status, refused.out) == (2, "")
    assert "exists already. Use --overwrite to replace it." in refused.err
    assert run(capsys, *arguments, "--overwrite").status == 0
    assert target.read_bytes() == first, "the same picture is the same bytes"
    assert [path.name for path in tmp_path.iterdir()] == [target.name]


MOMENTUM = "compile.optimizer={SGD: {momentum: {LinearDecay: {initial_learning_rate: %s, end_learning_rate: 0, decay_steps: 9}}}}"


def test_a_source_has_one_mark_and_one_colour_in_all_panels(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path, drawn = write_quick(tmp_path), []
    monkeypatch.setattr(
        "matplotlib.axes.Axes.plot", lambda axes, x, y, *form, label, **look: drawn.append((label, look))
    )
    monkeypatch.setattr("matplotlib.axes.Axes.legend", lambda *anything, **options: None)
    sources = [COSINE, path, MOMENTUM % 0.5, path, MOMENTUM % 0.9]  # the first has no momentum
    done = run(capsys, "lr-schedule", *sources, "--plot", tmp_path / "rates.png")
    assert done.status == 0, done.err
    labels = [COSINE, f"{path} {MOMENTUM % 0.5}", f"{path} {MOMENTUM % 0.9}"]
    assert [label for label, _ in drawn] == [*labels, *labels[1:]]
    looks = [(look["color"], look["linestyle"]) for _, look in drawn]
    assert looks[3:] == looks[1:3] and len(set(looks)) == 3
    legend = [line.split(maxsplit=1) for line in done.out.splitlines() if line.startswith(" " * 12) and line.strip()]
    marks = [(sign, label) for sign, label in legend if label in labels]
    assert marks == [(sign, label) for sign, label in zip("•+x+x", [*labels, *labels[1:]], strict=True)]


def test_a_drawing_keeps_to_the_terminal(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "62")
    out = run(capsys, "lr-schedule", COSINE).out
    drawn, titles, _ = out.partition("schedules\n")
    assert titles and "key points" in out
    assert max(map(len, drawn.rstrip().splitlines()[:-1])) <= 60
