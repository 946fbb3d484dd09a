"""Which epoch is kept, and what is refused because it could not be obeyed."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.command_line import Done, run, trained, write_quick

LINE = """\
# A line whose error falls epoch by epoch.
data: {dataset: Line, test_split: 0, validation_split: 0.3}
model:
  - Dense: 1
compile: {optimizer: {SGD: 0.002}, loss: MeanSquaredError, metrics: [MeanAbsoluteError, mae, mse]}
fit: {epochs: 4, batch_size: 4}
"""


@pytest.fixture(autouse=True)
def inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_quick(tmp_path)
    (tmp_path / "line.yaml").write_text(LINE)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of line.yaml, to be copied."""
    folder = tmp_path_factory.mktemp("finished")
    trained(write_quick(folder, "line.yaml", LINE), "--out", folder / "a")
    return folder / "a"


@pytest.fixture
def a(finished: Path, inside: None) -> None:
    """The working directory holds a finished run "a" of line.yaml."""
    shutil.copytree(finished, "a")


def history(folder: str) -> list[dict[str, str]]:
    with Path(folder, "history.csv").open() as file:
        return list(csv.DictReader(file))


def one_line(done: Done, status: int, *words: str) -> None:
    assert (done.status, done.out) == (status, ""), done.err
    assert len(done.err.splitlines()) == 1, done.err
    for word in words:
        assert word in done.err


@pytest.mark.parametrize(
    ("monitor", "best"),
    [("val_mean_absolute_error", min), ("val_mae", min), ("mse", min), ("val_loss", min)],
)
def test_an_error_is_minimised_without_being_told(
    monitor: str, best: object, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(capsys, "train", "line.yaml", f"select.monitor={monitor}", "--out", "a", "-q").status == 0
    values = [float(row[monitor]) for row in history("a")]
    selected = json.loads(Path("a/metrics.json").read_text())["selected"]
    assert selected["mode"] == "min"
    assert selected["value"] == min(values) and values[selected["epoch"] - 1] == min(values)


def test_accuracy_is_maximised_without_being_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "train", "quick.yaml", "select.monitor=val_accuracy", "--out", "a", "-q").status == 0
    assert json.loads(Path("a/metrics.json").read_text())["selected"]["mode"] == "max"


def test_averaged_weights_that_selection_would_drop_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    override = "compile.optimizer={SGD: {learning_rate: 0.002, use_ema: true}}"
    one_line(run(capsys, "train", "line.yaml", override, "--out", "a"), 2, "use_ema", "SwapEMAWeights")
    swapped = "fit.callbacks=[{SwapEMAWeights: {swap_on_epoch: true}}]"
    assert run(capsys, "train", "line.yaml", override, swapped, "--out", "a", "-q").status == 0


def test_the_last_epochs_average_is_kept_where_nothing_is_selected(capsys: pytest.CaptureFixture[str]) -> None:
    import keras

    override = "compile.optimizer={SGD: {learning_rate: 0.002, use_ema: true, ema_momentum: 0.5}}"
    assert run(capsys, "train", "line.yaml", override, "data.validation_split=0", "--out", "a", "-q").status == 0
    with np.load("a/checkpoint/state.npz") as file:
        raw = file["model/0"]
    assert not np.array_equal(keras.models.load_model("a/model.keras").get_weights()[0], raw)


@pytest.mark.parametrize("key", ["validation_steps", "validation_batch_size", "validation_freq"])
def test_settings_of_a_validation_that_is_not_there_are_refused(key: str, capsys: pytest.CaptureFixture[str]) -> None:
    done = run(capsys, "train", "line.yaml", "data.validation_split=0", f"fit.{key}=1", "--out", "a")
    one_line(done, 2, f"fit.{key}: there is no validation split")


def test_validation_steps_count_batches_of_the_batch_size(capsys: pytest.CaptureFixture[str]) -> None:
    """One step of 2 of the 9 held-out examples: its loss is not that of all of them."""
    overrides = ("fit.batch_size=2", "fit.epochs=1", "compile.optimizer={SGD: 0.0}")
    run(capsys, "train", "line.yaml", *overrides, "fit.validation_steps=1", "--out", "two", "-q")
    run(capsys, "train", "line.yaml", *overrides, "fit.validation_steps=5", "--out", "ten", "-q")
    run(capsys, "train", "line.yaml", *overrides, "--out", "all", "-q")
    losses = [float(history(folder)[0]["val_loss"]) for folder in ("two", "ten", "all")]
    assert losses[0] != pytest.approx(losses[2], rel=1e-3)
    assert losses[1] == pytest.approx(losses[2], rel=1e-5)


def test_plateau_halving_of_a_schedule_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    schedule = "compile.optimizer.SGD={learning_rate: {CosineDecay: {initial_learning_rate: 0.01, decay_steps: 9}}}"
    done = run(capsys, "train", "line.yaml", schedule, "fit.callbacks=[ReduceLROnPlateau]", "--out", "a")
    one_line(done, 2, "fit.callbacks[0].ReduceLROnPlateau", "schedule")


@pytest.mark.usefixtures("a")
@pytest.mark.parametrize(
    "override",
    [
        "dtype_policy=mixed_bfloat17",
        "compile.optimizer={Adam: {beta_1: x}}",
        "fit.callbacks=[{EarlyStopping: {patience: x, min_delta: 1e9}}]",
    ],
)
def test_a_value_that_keras_finds_too_late_is_one_line_and_keeps_the_old_run(
    override: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path: path.read_bytes() for path in Path("a").rglob("*") if path.is_file()}
    done = run(capsys, "train", "line.yaml", override, "--out", "a", "--overwrite")
    if "patience" in override:  # seen by the callback after an epoch: the run has begun, and has failed
        assert (done.status, done.out) == (1, "")
        assert done.err.splitlines()[-1].startswith("dltool: a: training failed: ")
        assert "fault of dltool" not in done.err
        return
    one_line(done, 2)
    assert {path: path.read_bytes() for path in Path("a").rglob("*") if path.is_file()} == before


@pytest.mark.usefixtures("a")
def test_a_rate_changed_on_resume_holds_through_a_second_interruption(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The first resume dies before its first checkpoint: recipe.yaml is new, the state is old."""
    from dltool.runs import keeper

    def killed(self: object, state: object) -> None:
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(keeper.Keeper, "_write", killed)
        rate = "compile.optimizer.SGD=0.0005"
        assert run(capsys, "train", "a", rate, "fit.epochs=6", "--resume", "--accept-changes", "-q").status == 1
    assert run(capsys, "eval", "a").status == 5, "the old model must not pass for the new recipe's"
    assert run(capsys, "train", "a", "--resume", "-q").status == 0
    rates = [float(row["learning_rate"]) for row in history("a")]
    assert rates == pytest.approx([0.002] * 4 + [0.0005] * 2)


def test_more_patience_after_early_stopping_goes_on(capsys: pytest.CaptureFixture[str]) -> None:
    stopping = "fit.callbacks=[{EarlyStopping: {monitor: val_loss, min_delta: 1e9, patience: %d}}]"
    assert run(capsys, "train", "line.yaml", stopping % 1, "fit.epochs=9", "--out", "a", "-q").status == 0
    stopped = len(history("a"))
    assert stopped < 5
    done = run(capsys, "train", "a", stopping % 4, "--resume", "--accept-changes", "-q")
    assert done.status == 0, done.err
    assert stopped < len(history("a")) < 9


def test_examples_per_second_counts_what_an_epoch_used(capsys: pytest.CaptureFixture[str]) -> None:
    import re

    done = run(capsys, "train", "line.yaml", "fit.steps_per_epoch=2", "fit.batch_size=2", "--out", "a")
    rows = history("a")
    rates = [float(rate.replace(",", "")) for rate in re.findall(r"([\d,]+) examples/s", done.err)]
    assert len(rates) == len(rows) == 4
    for rate, row in zip(rates[1:], rows[1:], strict=True):
        assert rate >= 0.9 * 4 / float(row["seconds"])  # 4 examples; the row's seconds hold validation too
        assert rate < 40 * 4 / float(row["seconds"])


@pytest.mark.usefixtures("a")
def test_a_killed_start_leaves_a_run_that_can_be_overwritten(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from dltool.runs import directory

    removed: list[str] = []
    unlink = Path.unlink

    def dying(self: Path, missing_ok: bool = False) -> None:
        if len(removed) == 3:
            raise MemoryError
        removed.append(self.name)
        unlink(self, missing_ok)

    with monkeypatch.context() as patch:
        patch.setattr(directory.Path, "unlink", dying)
        assert run(capsys, "train", "line.yaml", "--out", "a", "--overwrite", "-q").status == 1
    assert len(removed) == 3
    assert run(capsys, "train", "line.yaml", "--out", "a", "--overwrite", "-q").status == 0


RESTORING = "fit.callbacks=[{EarlyStopping: {monitor: %s, patience: 50, restore_best_weights: true}}]"
JUMPY = "compile.optimizer={SGD: {learning_rate: 0.02, momentum: 0.9}}"  # its error rises and falls


@pytest.mark.parametrize("monitor", ["loss", "val_mae"])
def test_the_epoch_that_early_stopping_restores_is_the_one_that_is_named(
    monitor: str, capsys: pytest.CaptureFixture[str]
) -> None:
    import keras

    assert run(capsys, "train", "line.yaml", JUMPY, RESTORING % monitor, "fit.epochs=8", "--out", "a").status == 0
    values = [float(row[monitor]) for row in history("a")]
    best = int(np.argmin(values)) + 1
    assert best < 8, "the last epoch must not be the best, or nothing is shown"
    selected = json.loads(Path("a/metrics.json").read_text())["selected"]
    assert selected == {"monitor": monitor, "mode": "min", "epoch": best, "value": min(values)}
    run(capsys, "train", "line.yaml", JUMPY, f"fit.epochs={best}", "select.monitor=loss", "--out", "b")
    with np.load("b/checkpoint/state.npz") as file:
        np.testing.assert_array_equal(keras.models.load_model("a/model.keras").get_weights()[0], file["model/0"])


def test_another_figure_than_the_choosers_is_said_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    done = run(capsys, "train", "line.yaml", RESTORING % "val_mae", "select.monitor=val_loss", "--out", "a")
    first = done.err.splitlines()[0]
    assert first.startswith("dltool: fit.callbacks[0].EarlyStopping restores by the lowest val_mae, but the model ")
    assert first.endswith("that is kept is that of the lowest val_loss. To change it, set select.monitor.")
    assert json.loads(Path("a/metrics.json").read_text())["selected"]["monitor"] == "val_loss"
    saving = "fit.callbacks=[{ModelCheckpoint: {filepath: m.keras, save_best_only: true, monitor: val_mse}}]"
    done = run(capsys, "train", "line.yaml", saving, "fit.epochs=1", "--out", "b")
    assert "ModelCheckpoint saves by the lowest val_mse" in done.err.splitlines()[0]
    done = run(capsys, "train", "line.yaml", RESTORING % "val_loss", "fit.epochs=1", "--out", "c")
    assert "select.monitor" not in done.err, "they agree: nothing to say"


def test_early_stoppings_least_improvement_and_first_epoch_count() -> None:
    from dltool.runs.selection import Selector

    class Model:
        def get_weights(self) -> list[object]:
            return []

    chooser = Selector("loss", "min", min_delta=0.1, start=1)
    for epoch, loss in enumerate([0.1, 1.0, 0.95, 0.85, 0.8], start=1):
        chooser.consider({"epoch": epoch, "loss": loss}, Model())
    # epoch 1 is too early; 0.95 is no gain of more than 0.1 on 1.0, 0.85 is, 0.8 is none on that
    assert (chooser.epoch, chooser.value) == (4, 0.85)
