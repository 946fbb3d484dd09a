"""Averaged weights: what is judged is what is kept, saved and gone on from, against averages worked in NumPy."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from tests.command_line import run, trained

RECIPE = """\
# A line, fitted by averaged weights.
data: {dataset: {Npz: {path: line.npz}}, validation_split: 0.25, test_split: 0.0}
model: [{Dense: {units: 1, kernel_initializer: zeros, use_bias: false}}]
compile: {optimizer: {SGD: {learning_rate: 0.02, use_ema: true, ema_momentum: 0.75}}, loss: MeanSquaredError}
fit: {epochs: 6, batch_size: 4, shuffle: false}
"""
MOMENTUM, RATE, BATCH = 0.75, 0.02, 4
SWAPS = ["fit.callbacks=[{SwapEMAWeights: {swap_on_epoch: true}}]", "fit.callbacks=[SwapEMAWeights]"]


@pytest.fixture(autouse=True)
def inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("ema.yaml").write_text(RECIPE)
    generator = np.random.default_rng(0)
    x = generator.normal(size=(16, 1)).astype("float32")
    np.savez("line.npz", x_train=x, y_train=(2 * x + generator.normal(size=(16, 1))).astype("float32"))


def split() -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """Training and validation examples as dltool splits them."""
    from dltool.recipe import build
    from dltool.recipe.data import Data

    recipe = build.load("ema.yaml")
    data = Data.of(recipe, build.dataset(recipe.section("data", "dataset")))
    found = []
    for name in ("train", "validation"):
        x, y = next(data.pipeline(name, 99).batches())
        found.append((np.asarray(x, float)[:, 0], np.asarray(y, float)[:, 0]))
    return found[0], found[1]


def worked(epochs: int) -> tuple[list[float], list[float]]:
    """The weight after each epoch as trained, and its average a' = 0.75 a + 0.25 w; a starts as the first w."""
    (x, y), _ = split()
    w, average, step, trained_, averaged = 0.0, 0.0, 0, [], []
    for _ in range(epochs):
        for start in range(0, len(x), BATCH):
            some = slice(start, start + BATCH)
            w -= RATE * np.mean(2 * (w * x[some] - y[some]) * x[some])
            average = w if step == 0 else MOMENTUM * average + (1 - MOMENTUM) * w
            step += 1
        trained_.append(w)
        averaged.append(average)
    return trained_, averaged


def history(folder: str) -> list[dict[str, float]]:
    with Path(folder, "history.csv").open() as file:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]


def kept(folder: str) -> float:
    return float(keras.models.load_model(Path(folder, "model.keras")).get_weights()[0][0, 0])


@pytest.mark.parametrize("swap", SWAPS, ids=["on-epoch", "on-test"])
def test_what_is_judged_is_kept_and_gone_on_from(swap: str) -> None:
    raw, averaged = worked(6)
    _, (x, y) = split()
    expected = [np.square(w * x - y).mean() for w in averaged]
    trained("ema.yaml", swap, "fit.epochs=3", "--out", "run")
    trained("run", "fit.epochs=6", "--resume", "--accept-changes")
    assert [row["val_loss"] for row in history("run")] == pytest.approx(expected, rel=1e-4)
    selected = json.loads(Path("run/metrics.json").read_text())
    assert selected["selected"]["epoch"] == 1 + int(np.argmin(expected))
    assert kept("run") == pytest.approx(averaged[int(np.argmin(expected))], rel=1e-5)
    assert selected["validation"]["loss"] == pytest.approx(min(expected), rel=1e-4)
    with np.load("run/checkpoint/state.npz") as file:
        assert float(file["model/0"][0, 0]) == pytest.approx(raw[-1], rel=1e-5), "the state is of weights as trained"


@pytest.mark.parametrize("swap", [*SWAPS, "fit.callbacks=[]"], ids=["on-epoch", "on-test", "at-the-end"])
def test_a_training_that_stops_early_keeps_its_average(swap: str) -> None:
    stopping = "{EarlyStopping: {monitor: loss, patience: 1, min_delta: 100.0}}"
    callbacks = swap.replace("[", f"[{stopping}, ").replace(", ]", "]")
    trained("ema.yaml", callbacks, "data.validation_split=0", "fit.epochs=9", "--out", "run")
    Path("ema.yaml").write_text(RECIPE.replace("validation_split: 0.25", "validation_split: 0"))
    from dltool.recipe import build
    from dltool.recipe.data import Data

    recipe = build.load("ema.yaml")
    data = Data.of(recipe, build.dataset(recipe.section("data", "dataset")))
    w = average = 0.0
    for step, (x, y) in enumerate([*data.pipeline("train", BATCH).batches()] * 2):
        w -= RATE * float(np.mean(2 * (w * x - y) * x))
        average = w if step == 0 else MOMENTUM * average + (1 - MOMENTUM) * w
    assert len(history("run")) == 2
    assert kept("run") == pytest.approx(average, rel=1e-5)


def test_callbacks_before_the_swap_save_what_was_judged() -> None:
    saving = "{ModelCheckpoint: {filepath: best.keras, save_best_only: true}}"
    trained("ema.yaml", f"fit.callbacks=[{saving}, SwapEMAWeights]", "fit.epochs=2", "--out", "run")
    saved = keras.models.load_model("run/best.keras").get_weights()[0]
    assert float(saved[0, 0]) == pytest.approx(kept("run"), rel=1e-6) == pytest.approx(worked(2)[1][1], rel=1e-5)


def test_swapping_gives_each_weight_back_to_the_bit() -> None:
    """Keras's own swap by sums and differences would round."""
    from dltool.training.averages import Averages

    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(use_ema=True), "mse")
    model.optimizer.build(model.trainable_variables)
    trained_ = [np.array([[1e8], [1e-3]], np.float32), np.array([3.0], np.float32)]
    model.set_weights(trained_)
    averages = Averages(model, [keras.callbacks.SwapEMAWeights()])
    with averages.in_model():
        assert not model.get_weights()[0].any()
        with averages.in_model(wanted=False):
            assert (model.get_weights()[0] == trained_[0]).all()
    assert all((one == other).all() for one, other in zip(model.get_weights(), trained_, strict=True))


def test_swapping_without_averages_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    done: Any = run(capsys, "train", "ema.yaml", SWAPS[1], "compile.optimizer.SGD.use_ema=false", "--out", "a")
    assert done.status == 2 and "use_ema: true" in done.err and not Path("a").exists()
