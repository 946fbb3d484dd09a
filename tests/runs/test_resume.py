"""Killed and resumed training equals training that was never stopped, bit for bit: real signals, real processes."""

from __future__ import annotations

import csv
import json
import signal
import time
from pathlib import Path

import numpy as np
import pytest

from tests.command_line import spawn, trained

# Everything that has a state: dropout, augmentation, batch normalisation, Adam's slots, a schedule by
# plateau, early stopping with its best weights, selection of the best epoch.
RECIPE = """\
# Everything that training must remember.
data:
  dataset: Digits
  validation_split: 0.2
  augment:
    - RandomTranslation: {height_factor: 0.1, width_factor: 0.1}
    - PCAColor: {value_range: [0, 16]}
    - MixUp: {alpha: 0.2, rate: 0.3}
model:
  - Normalization: {axis: null}
  - Conv2D: {filters: 8, kernel_size: 3, activation: relu}
  - BatchNormalization
  - Flatten
  - Dropout: 0.3
  - Dense: ${data.num_classes}
compile:
  optimizer: {Adam: {learning_rate: 1e-2}}
  loss: {SparseCategoricalCrossentropy: {from_logits: true}}
  metrics: [accuracy]
  steps_per_execution: 4             # small, so that a signal is obeyed in the middle of an epoch
fit:
  epochs: 8
  batch_size: 16
  callbacks:
    - EarlyStopping: {patience: 3, restore_best_weights: true, monitor: val_loss}
    - ReduceLROnPlateau: {patience: 1, factor: 0.5, monitor: val_accuracy}
    - ActivationPercentiles: {layer: batch_normalization, every: 7, examples: 50}
select: {monitor: val_accuracy, mode: max}
deterministic: true
seed: 3
"""


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("resume") / "stateful.yaml"
    path.write_text(RECIPE)
    return path


@pytest.fixture(scope="module")
def unbroken(recipe: Path) -> Path:
    """A background job, which Ctrl-C does not reach: a shell starts `command &` with SIGINT ignored."""
    run = recipe.parent / "unbroken"
    ignore = lambda: signal.signal(signal.SIGINT, signal.SIG_IGN)  # noqa: E731
    process = spawn("train", recipe, "--out", run, "--quiet", preexec_fn=ignore)
    while process.poll() is None and not (run / "checkpoint" / "state.npz").is_file():
        time.sleep(0.02)
    assert process.poll() is None and not (run / "metrics.json").exists(), "it had finished before the signal"
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    assert out == f"{run}\n"
    assert err == ""
    return run


def history(run: Path) -> list[dict[str, str]]:
    with (run / "history.csv").open() as file:
        return [{name: value for name, value in row.items() if name != "seconds"} for row in csv.DictReader(file)]


def arrays(run: Path) -> dict[str, np.ndarray]:
    with np.load(run / "checkpoint" / "state.npz") as file:
        return {name: file[name] for name in file.files if name != "__plain__"}


def plain(run: Path) -> dict:
    with np.load(run / "checkpoint" / "state.npz") as file:
        return json.loads(file["__plain__"].tobytes())["plain"]


@pytest.mark.parametrize(
    ("number", "epochs_before", "status"),
    [
        (signal.SIGKILL, 1, -signal.SIGKILL),
        pytest.param(signal.SIGTERM, 3, 143, marks=pytest.mark.slow),
        pytest.param(signal.SIGINT, 2, 130, marks=pytest.mark.slow),
    ],
)
def test_interrupted_and_resumed_training_equals_unbroken_training(
    recipe: Path, unbroken: Path, number: signal.Signals, epochs_before: int, status: int
) -> None:
    import keras

    run = recipe.parent / number.name
    process = spawn("train", recipe, "--out", run)
    seen = 0
    for line in process.stderr:
        seen += line.startswith("epoch")
        if seen >= epochs_before and (number != signal.SIGKILL or (run / "checkpoint" / "state.npz").is_file()):
            break
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == status
    assert not (run / "metrics.json").exists(), "the run had finished: nothing was interrupted"
    assert plain(run)["position"]["epoch"] > 0, "there is nothing to resume from: training would begin anew"
    if number != signal.SIGKILL:
        assert out == ""
        assert err.splitlines()[-1].startswith("dltool: interrupted after ")
        assert f"dltool train {run} --resume" in err
        assert plain(run)["position"]["epoch"] >= epochs_before - 1
        assert [path.name for path in run.rglob(".*")] == [], "a temporary file was left"
    else:  # as if it had been killed while writing, and after the best weights were written but not the state
        (run / "checkpoint" / ".dltool-abcd1234.tmp").write_bytes(b"half")
        (run / ".dltool-77.keras").write_bytes(b"half")
        best = next((run / "checkpoint").glob("best-*.npz"))
        for epoch in range(60):
            lost = best.with_name(f"best-{epoch}.npz")
            if not lost.exists():
                with np.load(best) as file:
                    np.savez(lost, **{name: file[name] * 0 for name in file.files if name != "__plain__"})

    process = spawn("train", run, "--resume", "--quiet")
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    assert history(run) == history(unbroken)
    assert (run / "percentiles.csv").read_bytes() == (unbroken / "percentiles.csv").read_bytes()
    assert [path.name for path in run.rglob(".*")] == [], "a temporary file was left"
    assert len(list((run / "checkpoint").glob("best-*.npz"))) == 1
    expected, found = arrays(unbroken), arrays(run)
    assert expected.keys() == found.keys()
    assert [name for name in expected if not np.array_equal(expected[name], found[name])] == []
    assert plain(run)["callbacks"] == plain(unbroken)["callbacks"]
    models = [keras.models.load_model(folder / "model.keras").get_weights() for folder in (unbroken, run)]
    assert all(np.array_equal(*pair) for pair in zip(*models, strict=True))
    sessions = json.loads((run / "environment.json").read_text())["sessions"]
    assert len(sessions) == 2


def test_two_trainings_of_one_recipe_are_the_same_bits(recipe: Path, unbroken: Path) -> None:
    """One in a process of its own, one here, in calls of other lengths."""
    again = recipe.parent / "again"
    trained(recipe, "compile.steps_per_execution=9", "--out", again)
    assert history(again) == history(unbroken)


def test_a_background_job_goes_on_when_ctrl_c_is_pressed(unbroken: Path) -> None:
    assert len(history(unbroken)) > 1
    assert (unbroken / "metrics.json").is_file()
