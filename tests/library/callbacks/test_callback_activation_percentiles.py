"""ActivationPercentiles: what it records equals NumPy's figures, and training does not notice it."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from dltool.data.base import Examples
from dltool.data.pipelines.in_memory import DeviceArrays, InMemory
from dltool.library.callbacks._periodic import PeriodicCallback
from dltool.library.callbacks.activation_percentiles import ActivationPercentiles
from dltool.training.procedures.gradient_descent import GradientDescent
from tests.command_line import run
from tests.interruption import Interrupted, Interrupting

SIZE, FEATURES, CLASSES = 90, 6, 3
RECIPE = """\
# A small batch-normalised net that records percentiles.
data: {dataset: Digits, validation_split: 0.2}
model:
  - Flatten
  - Repeat:
      layers: [Dense: 24, BatchNormalization, Activation: sigmoid, Dropout: 0.1]
      times: 2
  - Dense: ${data.num_classes}
compile:
  optimizer: {Adam: {learning_rate: 1e-2}}
  loss: {SparseCategoricalCrossentropy: {from_logits: true}}
  metrics: [accuracy]
  steps_per_execution: 4
fit:
  epochs: 12
  batch_size: 16
  callbacks:
    - ActivationPercentiles: {layer: activation_2, every: 7}
deterministic: true
"""


def examples(seed: int = 0) -> Examples:
    random = np.random.default_rng(seed)
    x = random.normal(size=(SIZE, FEATURES)).astype("float32")
    return Examples(x, x[:, :CLASSES].argmax(axis=1))


def compiled(*hidden: Any) -> keras.Model:
    keras.utils.set_random_seed(4)
    layers = hidden or (keras.layers.Dense(8, activation="tanh", name="first"),)
    model = keras.Sequential([keras.Input((FEATURES,)), *layers, keras.layers.Dense(CLASSES, name="last")])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.1), loss, metrics=["accuracy"], jit_compile=False)
    model.compute_metrics(None, np.array([1, 0]), model(np.zeros((2, FEATURES), "float32")), None)
    model.optimizer.build(model.trainable_variables)
    model.reset_metrics()
    return model


def fit(model: keras.Model, *callbacks: Any, epochs: int = 2, **options: Any) -> list[dict[str, float]]:
    train, held = (InMemory(DeviceArrays(examples(seed)), None, 10) for seed in (0, 1))
    return GradientDescent().fit(model, train, held, epochs=epochs, callbacks=callbacks, **options)  # 9 steps an epoch


def rows_of(path: Path) -> list[dict[str, float]]:
    with path.open() as file:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]


def test_rows_are_numpys_percentiles_of_each_unit_averaged_over_units(tmp_path: Path) -> None:
    file = tmp_path / "p.csv"
    model = compiled()
    before = model.get_weights()
    recorder = ActivationPercentiles("first", [10, 50, 97.5], every=6, examples=40, filename=str(file))
    fit(model, recorder)
    rows = rows_of(file)
    assert list(rows[0]) == ["step", "p10", "p50", "p97.5"]
    assert [row["step"] for row in rows] == [0, 6, 12, 18]
    for row, (kernel, bias) in ((rows[0], before[:2]), (rows[-1], model.get_weights()[:2])):
        activations = np.tanh(examples(1).x[:40] @ kernel + bias)  # the validation split's first 40
        for q in (10, 50, 97.5):
            expected = np.mean([np.percentile(activations[:, unit], q) for unit in range(8)])
            assert row[f"p{q:g}"] == pytest.approx(expected, abs=1e-5)
    assert file.with_suffix(".png").read_bytes().startswith(b"\x89PNG")


def test_one_unit_and_the_input_of_an_activation_layer(tmp_path: Path) -> None:
    model = compiled(keras.layers.Dense(8), keras.layers.Activation("sigmoid", name="nonlinear"))
    kernel, bias = model.get_weights()[:2]
    recorder = ActivationPercentiles("nonlinear", signal="input", unit=3, filename=str(tmp_path / "p.csv"))
    fit(model, recorder, epochs=1)
    unit = examples(1).x @ kernel[:, 3] + bias[3]
    np.testing.assert_allclose(list(recorder.rows[0].values())[1:], np.percentile(unit, [15, 50, 85]), rtol=1e-4)


def test_positions_of_an_image_count_as_examples(tmp_path: Path) -> None:
    layers = keras.layers.Reshape((3, 2)), keras.layers.Conv1D(4, 2, name="conv"), keras.layers.Flatten()
    model = compiled(*layers)
    kernel, bias = model.get_weights()[:2]  # (2, 2, 4)
    recorder = ActivationPercentiles("conv", [50], filename=str(tmp_path / "p.csv"))
    fit(model, recorder, epochs=1)
    x = examples(1).x.reshape(SIZE, 3, 2)
    outputs = np.stack([np.einsum("nkc,kcu->nu", x[:, i : i + 2], kernel) + bias for i in (0, 1)], axis=1)
    assert recorder.rows[0]["p50"] == pytest.approx(np.median(outputs.reshape(-1, 4), axis=0).mean(), abs=1e-5)


@pytest.mark.parametrize("training", [True, False])
def test_batch_norm_takes_these_examples_statistics_in_training_and_the_moving_ones_else(
    training: bool, tmp_path: Path
) -> None:
    model = compiled(keras.layers.Dense(8), keras.layers.BatchNormalization(name="norm"))
    kernel, bias = model.get_weights()[:2]
    recorder = ActivationPercentiles("norm", training=training, filename=str(tmp_path / "p.csv"))
    fit(model, recorder, epochs=1)
    z = examples(1).x @ kernel + bias
    mean, variance = (z.mean(axis=0), z.var(axis=0)) if training else (0.0, 1.0)
    expected = np.percentile((z - mean) / np.sqrt(variance + 1e-3), [15, 50, 85], axis=0).mean(axis=1)
    np.testing.assert_allclose(list(recorder.rows[0].values())[1:], expected, atol=1e-4)


def test_training_is_the_same_bits_with_and_without_it(tmp_path: Path) -> None:
    def layers() -> tuple[Any, ...]:
        keras.utils.set_random_seed(1)  # layers draw their initialisers' seeds when they are made
        dense = keras.layers.Dense(8, activity_regularizer="l2", kernel_regularizer="l2")
        return dense, keras.layers.BatchNormalization(name="norm"), keras.layers.Dropout(0.3, seed=1)

    plain, watched = compiled(*layers()), compiled(*layers())
    recorder = ActivationPercentiles("norm", every=4, filename=str(tmp_path / "p.csv"))
    histories = fit(plain), fit(watched, recorder)
    assert [row["step"] for row in recorder.rows] == [0, 4, 8, 12, 16]
    assert [row["loss"] for row in histories[0]] == [row["loss"] for row in histories[1]]
    assert [row["val_loss"] for row in histories[0]] == [row["val_loss"] for row in histories[1]]
    assert all(np.array_equal(*pair) for pair in zip(plain.get_weights(), watched.get_weights(), strict=True))
    assert "watched" not in repr(vars(watched.get_layer("norm")).get("call"))  # none stands in for it any more


def test_the_loop_stops_at_each_callbacks_own_steps_and_nowhere_else() -> None:
    class Recorder(PeriodicCallback):
        def on_train_begin(self, logs: Any = None) -> None:
            self.steps: list[int] = []

        def on_step(self, step: int) -> None:
            self.steps.append(step)

    class Chunks(keras.callbacks.EarlyStopping):  # does not ask for every batch
        ends: list[int] = []

        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            self.ends.append(batch + 1)

    often, seldom, chunks = Recorder(4), Recorder(6), Chunks("loss")
    fit(compiled(), often, seldom, chunks, steps_per_execution=100)
    assert often.steps == [0, 4, 8, 12, 16]
    assert seldom.steps == [0, 6, 12, 18]
    assert chunks.ends == [4, 6, 8, 9, 3, 7, 9]  # of 9 steps an epoch, 12 being the second's third


def test_examples_are_the_training_splits_where_there_is_no_validation(tmp_path: Path) -> None:
    model = compiled()
    kernel, bias = model.get_weights()[:2]
    recorder = ActivationPercentiles("first", [50], filename=str(tmp_path / "p.csv"))
    GradientDescent().fit(model, InMemory(DeviceArrays(examples(0)), None, 10), callbacks=[recorder])
    expected = np.median(np.tanh(examples(0).x @ kernel + bias), axis=0).mean()
    assert recorder.rows[0]["p50"] == pytest.approx(expected, abs=1e-5)


# -- in a recipe ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("{layer: actvation_2}", "the model has no layer 'actvation_2'. Did you mean 'activation_2'?"),
        ("{layer: xyz}", "the model has no layer 'xyz'. Layers: flatten, dense_1, "),
        ("{layer: dense_1, every: 0}", "'every' must be an int >= 1, in steps. Got 0."),
        ("{layer: dense_1, signal: inputs}", "'signal' must be one of output, input. Got 'inputs'."),
        (
            "{layer: dense_1, percentiles: [15, 185]}",
            "'percentiles' must be different numbers from 0 to 100. Got [15, 185].",
        ),
        ("{layer: dense_1, percentiles: [50, 50]}", "'percentiles' must be different numbers from 0 to 100. Got "),
        ("{layer: dense_1, percentiles: [a]}", "'percentiles' must be different numbers from 0 to 100. Got ['a']."),
        ("{layer: dense_1, unit: 99}", "layer 'dense_1' has "),
        ("{layer: dense_1, filename: p.txt}", "'filename' must end in .csv. Got "),
        ("{layer: dense_1, unit: -1}", "'unit' must be an int >= 0 or nothing. Got -1."),
        ("{}", "missing argument 'layer'"),
    ],
)
def test_what_does_not_fit_is_told_at_the_callbacks_line_before_training(
    body: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "r.yaml"
    path.write_text(RECIPE.replace("{layer: activation_2, every: 7}", body))
    done = run(capsys, "train", path, "--out", tmp_path / "run", "-q")
    assert done.status == 2
    line = f"{path}:18:7: fit.callbacks[0].ActivationPercentiles: {message}"
    assert done.err.removeprefix("dltool: ").startswith(line)
    assert not (tmp_path / "run").exists()


def test_two_callbacks_of_one_file_are_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    both = "fit.callbacks=[{ActivationPercentiles: {layer: dense_1}}, {ActivationPercentiles: {layer: dense_2}}]"
    path = tmp_path / "r.yaml"
    path.write_text(RECIPE)
    done = run(capsys, "train", path, both, "--out", tmp_path / "run", "-q")
    assert done.status == 2
    assert "fit.callbacks[1].ActivationPercentiles: writes the file of fit.callbacks[0]" in done.err


def test_a_resumed_training_goes_on_without_a_gap_or_a_duplicate(tmp_path: Path) -> None:
    def recorder(name: str) -> ActivationPercentiles:
        return ActivationPercentiles("first", every=2, filename=str(tmp_path / name))

    fit(compiled(), recorder("whole.csv"), epochs=3)
    observer = Interrupting(13)
    with pytest.raises(Interrupted):
        fit(compiled(), recorder("resumed.csv"), epochs=3, observer=observer, steps_per_execution=1)
    state = replace(observer.state, callbacks=json.loads(json.dumps(observer.state.callbacks)))
    fit(compiled(), recorder("resumed.csv"), epochs=3, state=state)
    assert [row["step"] for row in rows_of(tmp_path / "resumed.csv")] == list(range(0, 28, 2))
    assert (tmp_path / "resumed.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()
