"""dltool lr-schedule: what cannot be shown is refused in one line that names it, and at once."""
# ruff: noqa: E501

from __future__ import annotations

from pathlib import Path

import pytest

from dltool.library.schedules import _ranges as ranges
from dltool.library.schedules.constant import Constant
from dltool.training.schedule_table import ScheduleTable
from tests.command_line import run, write_quick

CONSTANT = "Constant: 0.1"
COSINE = "CosineDecay: {initial_learning_rate: 0.1, decay_steps: %s}"


def refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    done = run(capsys, "lr-schedule", *arguments)
    assert (done.status, done.out, len(done.err.splitlines())) == (2, "", 1), done.err
    return done.err.strip()


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ([CONSTANT, "--steps", "99999999999999"], "schedule:1:1: a training with schedules has at most 100,000,000 steps"),
        ([COSINE % "1000000000"], "Got 1,000,000,000: give fewer steps or epochs."),
        ([COSINE % "1e300"], "at most 100,000,000 steps"),
        ([CONSTANT, "--epochs", "1e308", "--steps-per-epoch", "1"], "at most 100,000,000 steps"),
        (["mlp/digits", "fit.epochs=9999999"], "command line:1:1: fit.epochs: a training with schedules has at most"),
    ],
)  # fmt: skip
def test_trainings_too_long_to_look_at_every_step_are_refused(
    arguments: list[str], line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert line in refused(capsys, *arguments)


def test_the_bound_itself_is_allowed_and_training_has_it_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranges, "MOST_STEPS", 40)
    assert ScheduleTable(Constant(0.1), 40).peak == pytest.approx(0.1)
    with pytest.raises(ValueError, match="has at most 40 steps, each of which is checked. Got 41"):
        ScheduleTable(Constant(0.1), 41)


def test_a_training_too_long_for_its_schedule_is_refused_before_it_starts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rate = "compile.optimizer.Adam.learning_rate={StepDecay: {initial_learning_rate: 0.1, decay_steps: 9}}"
    done = run(capsys, "train", write_quick(tmp_path), rate, "fit.epochs=99999999", "--out", tmp_path / "run")
    assert (done.status, len(done.err.splitlines())) == (2, 1)
    assert "compile.optimizer.Adam: a training with schedules has at most 100,000,000 steps" in done.err


@pytest.mark.parametrize("epochs", ["0", "inf", "0.05"])
def test_epochs_that_make_no_step_or_never_end_are_refused(epochs: str, capsys: pytest.CaptureFixture[str]) -> None:
    line = refused(capsys, CONSTANT, "--epochs", epochs, "--steps-per-epoch", 5)
    assert f"--epochs: must be a finite number that makes at least one step, 0.2 or more. Got {epochs}." in line


def test_a_fraction_of_an_epoch_is_its_steps(capsys: pytest.CaptureFixture[str]) -> None:
    done = run(capsys, "lr-schedule", CONSTANT, "--epochs", 0.4, "--steps-per-epoch", 5, "--format", "csv")
    assert done.out.splitlines()[1:] == [f"{step},{step / 5},{CONSTANT},0.1" for step in (0, 1)]


PLATEAU = "fit.callbacks=[ReduceLROnPlateau]"
RESTARTS = "CosineDecayRestarts: {initial_learning_rate: 0.1, first_decay_steps: 10, t_mul: %s}"


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["WarmUp: {schedule: {StepDecai: 3}, warmup_steps: 5}"], ": WarmUp.schedule: no schedule named 'StepDecai'."),
        (["Constant: -1"], "dltool: schedule:1:1: Constant: The 'value' parameter of Constant must be"),
        (["OneCycle: {max_learning_rate: 0.1, total_steps: 9}", "momentum=3"],
         ": momentum=3: the source is OneCycle: write OneCycle.momentum=..."),
        (["mlp/digits", PLATEAU, "--metrics", ""], "--metrics: must be numbers between commas, such as 0.9,0.7,0.7, or a CSV file. Got ''."),
        (["mlp/digits", "--every", "0.0001 epochs"], "--every '0.0001 epochs' is no step: mlp/digits has 41 an epoch."),
        (["mlp/digits", "--at", "9" * 400 + " epochs"], "epochs' is no step: mlp/digits has 41 an epoch."),
        ([RESTARTS % "1e300"], "The 't_mul' parameter of CosineDecayRestarts must be a finite number from 1 to 1,000,000. Got 1e+300 instead."),
        (["Restarts: {schedule: 0.1, period: 5, t_mul: 1e300}"], "The 't_mul' parameter of Restarts must be"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_where_it_stands(
    arguments: list[str], line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert line in refused(capsys, *arguments)


def test_the_largest_growth_of_periods_still_has_a_curve(capsys: pytest.CaptureFixture[str]) -> None:
    done = run(capsys, "lr-schedule", RESTARTS % "1e6", "--steps", 30, "--every", "9" * 30, "--format", "csv")
    assert done.status == 0, done.err
    # the second period is 10,000,000 steps long: at its 20th step it has not fallen yet
    assert [float(row.split(",")[-1]) for row in done.out.splitlines()[1:]] == pytest.approx([0.1, 0.1])
