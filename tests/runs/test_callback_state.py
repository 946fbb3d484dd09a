"""Training that is extended, or resumed after a break, equals that done at once, for callbacks that carry state."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from tests.command_line import run, trained

RECIPE = """\
# Few examples, of which a fifth is held out.
data: {dataset: {Npz: {path: kinds.npz}}, validation_split: 0.2, test_split: 0.0}
model: [{Dense: {units: 4, activation: tanh}}, {Dropout: 0.2}, {Dense: 2}]
compile:
  optimizer: {SGD: {learning_rate: 0.3, momentum: 0.9}}
  loss: {SparseCategoricalCrossentropy: {from_logits: true}}
  metrics: [accuracy]
fit: {epochs: 6, batch_size: 16}
deterministic: true
seed: 3
"""
CALLBACKS = {
    "ActivationPercentiles": "{ActivationPercentiles: {layer: dense, every: 3, examples: 8}}",
    "CSVLogger": "{CSVLogger: log.csv}",
    "EarlyStopping": "{EarlyStopping: {monitor: val_accuracy, patience: 3, restore_best_weights: true}}",
    "ModelCheckpoint": "{ModelCheckpoint: {filepath: best.weights.h5, save_best_only: true, save_weights_only: true, "
    "monitor: val_accuracy}}",
    "ModelCheckpoint-steps": "{ModelCheckpoint: {filepath: s.weights.h5, save_freq: 7, save_weights_only: true}}",
    "ReduceLROnPlateau": "{ReduceLROnPlateau: {monitor: val_loss, patience: 1, cooldown: 1, min_delta: 0.05}}",
    "SwapEMAWeights": "SwapEMAWeights",
    "TerminateOnNaN": "TerminateOnNaN",
    "WeightTrajectory": "{WeightTrajectory: {every: 7, examples: 20}}",
}
ABSENT = {  # callbacks of Keras that a recipe cannot have here, and why
    "BackupAndRestore": "dltool does that",
    "Callback": "a base class",
    "CallbackList": "a list",
    "History": "dltool keeps a history",
    "LambdaCallback": "takes functions",
    "LearningRateScheduler": "takes a function",
    "MonitorCallback": "a base class",
    "OrbaxCheckpoint": "needs a package",
    "ProgbarLogger": "only shows",
    "RemoteMonitor": "needs a package",
    "TensorBoard": "needs a package",
}
SMALL = ("ActivationPercentiles", "CSVLogger", "EarlyStopping", "ReduceLROnPlateau")


@pytest.fixture(autouse=True)
def inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("kinds.yaml").write_text(RECIPE)
    generator = np.random.default_rng(1)
    x = generator.normal(size=(80, 3)).astype("float32")
    np.savez("kinds.npz", x_train=x, y_train=(x[:, 0] + 0.5 * generator.normal(size=80) > 0).astype("int32"))


def rows(path: Path) -> list[list[str]]:
    with path.open() as file:
        return list(csv.reader(file))


def outcome(folder: str) -> dict[str, object]:
    """What a training has left, less its seconds."""
    import keras

    path = Path(folder)
    history = [dict(zip(rows(path / "history.csv")[0], row, strict=True)) for row in rows(path / "history.csv")[1:]]
    found: dict[str, object] = {
        "history": [{name: value for name, value in row.items() if name != "seconds"} for row in history],
        "weights": [w.tolist() for w in keras.models.load_model(path / "model.keras").get_weights()],
        "selected": json.loads((path / "metrics.json").read_text())["selected"],
    }
    with np.load(path / "checkpoint/state.npz") as file:
        found |= {name: file[name].tolist() for name in file.files if name != "__plain__"}
    for name in ("log.csv", "percentiles.csv", "trajectory.csv"):
        if (path / name).exists():
            found[name] = rows(path / name)
    for file in sorted(path.rglob("*.weights.h5")):
        import h5py

        with h5py.File(file) as opened:
            opened.visititems(
                lambda name, item, file=file: (
                    found.setdefault(f"{file.name} {name}", np.asarray(item).tolist())
                    if isinstance(item, h5py.Dataset)
                    else None
                )
            )
    return found


def check(*names: str, epochs: int = 6) -> None:
    """3 epochs and then the rest, against all at once."""
    settings = ["kinds.yaml", f"fit.callbacks=[{', '.join(CALLBACKS[name] for name in names)}]"]
    if "SwapEMAWeights" in names:
        settings.append("compile.optimizer={SGD: {learning_rate: 0.1, use_ema: true, ema_momentum: 0.8}}")
    trained(*settings, f"fit.epochs={epochs}", "--out", "once")
    trained(*settings, "fit.epochs=3", "--out", "twice")
    trained("twice", f"fit.epochs={epochs}", "--resume", "--accept-changes")
    once, twice = outcome("once"), outcome("twice")
    assert once.keys() == twice.keys()
    for key, value in once.items():
        assert twice[key] == value, key


@pytest.mark.parametrize(
    "names",
    [["ActivationPercentiles", "CSVLogger"], ["EarlyStopping"], ["ReduceLROnPlateau"]],  # the first two only write
)
def test_an_extended_training_equals_the_one_done_at_once(names: list[str]) -> None:
    assert set(names) <= set(SMALL)
    check(*names)


def test_more_epochs_alone_do_not_outlast_an_early_stop(capsys: pytest.CaptureFixture[str]) -> None:
    """Ended after epoch 3 of 3, 6 or any number: nothing improves by 9."""
    stopping = "fit.callbacks=[{EarlyStopping: {monitor: val_loss, patience: 2, min_delta: 9.0}}]"
    trained("kinds.yaml", stopping, "fit.epochs=3", "--out", "twice")
    done = run(capsys, "train", "twice", "fit.epochs=6", "--resume", "--accept-changes")
    assert done.status == 0 and "a callback had ended training after epoch 3" in done.err
    assert len(rows(Path("twice/history.csv"))) == 1 + 3


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(CALLBACKS.keys() - set(SMALL)))
def test_every_callback_is_extended_as_done_at_once(name: str) -> None:
    check(name)


def test_every_callback_of_keras_and_dltool_is_extended_here_or_excused() -> None:
    from dltool.recipe import catalogue

    known = set(catalogue.known("callbacks"))
    assert known, "nothing was discovered"
    assert known <= {name.partition("-")[0] for name in CALLBACKS} | ABSENT.keys()


@pytest.mark.parametrize("append", ["false", "true"])
def test_a_log_has_one_header_and_each_epoch_once_after_a_kill(append: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed in epoch 5 with the state of epoch 2 on disk; of its last row only a part was written."""
    from dltool.runs import keeper

    logger = f"fit.callbacks=[{{CSVLogger: {{filename: log.csv, append: {append}}}}}]"
    trained("kinds.yaml", logger, "fit.epochs=2", "--out", "run")
    log = Path("run/log.csv")
    first = log.read_bytes()
    log.write_bytes(first + b"2,0.5,0.5,0.5,0.5\r\n3,0.5,0.5,0.5,0.5\r\n4,0.")
    monkeypatch.setattr(keeper, "SECONDS_BETWEEN_CHECKPOINTS", 0.0)
    trained("run", "fit.epochs=4", "--resume", "--accept-changes")
    found = rows(log)
    assert [row[0] for row in found] == ["epoch", "0", "1", "2", "3"]
    assert log.read_bytes().startswith(first)
    assert found[3][2] == rows(Path("run/history.csv"))[3][rows(Path("run/history.csv"))[0].index("loss")]


def test_a_log_is_left_alone_where_nothing_is_left_to_train() -> None:
    trained("kinds.yaml", "fit.callbacks=[{CSVLogger: log.csv}]", "fit.epochs=2", "--out", "run")
    before = Path("run/log.csv").read_bytes()
    trained("run", "--resume")
    assert Path("run/log.csv").read_bytes() == before
