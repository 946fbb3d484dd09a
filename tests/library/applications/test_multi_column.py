"""Columns trained together are columns trained alone; the model answers with the mean of their probabilities."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy.special import softmax

from dltool.library.applications.multi_column import MultiColumn
from dltool.library.layers.width_normalization import WidthNormalization
from dltool.recipe import build, reading
from dltool.tasks import base as tasks
from tests.command_line import run, trained

RECIPE = """\
# Three small columns.
data:
  dataset: Digits
  validation_split: 0.2
  test_split: 0.2
model:
  MultiColumn:
    input_shape: ${data.input_shape}
    preprocessing: [[], [{WidthNormalization: 8}], [{WidthNormalization: 5}]]
    column:
      - ElasticDistortion: {alpha: 3, sigma: 2, rotation: 5}
      - Rescaling: 0.0625
      - Conv2D: {filters: 4, kernel_size: 3, activation: relu}
      - Flatten
      - Dropout: 0.1
      - Dense: ${data.num_classes}
compile:
  optimizer: {Adam: {learning_rate: 1e-2}}
  loss: {SparseCategoricalCrossentropy: {from_logits: true}}
  metrics: [accuracy]
fit: {epochs: 3, batch_size: 32}
select: {monitor: val_accuracy_2, mode: max}
deterministic: true
seed: 2
"""
COLUMNS = ("accuracy_1", "accuracy_2", "accuracy_3")
DENSE = keras.layers.Dense(3)


def column() -> list[Any]:
    layers = keras.layers
    return [layers.Flatten(), layers.Dense(6, activation="tanh"), layers.BatchNormalization(), layers.Dense(3)]


def data() -> tuple[np.ndarray, np.ndarray]:
    x = np.random.default_rng(0).uniform(0, 1, (12, 4, 5, 1)).astype(np.float32)
    return x, np.arange(12) % 3


def loss() -> Any:
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def compiled(model: Any) -> Any:
    """Compiled for a few steps, which take less time than to trace them."""
    model.compile(keras.optimizers.Adam(0.01), loss(), metrics=["accuracy"], run_eagerly=True)
    return model


def committee() -> Any:
    return compiled(MultiColumn((4, 5, 1), column=column(), preprocessing=[[], [WidthNormalization(3)]]))


def alone(model: Any, number: int) -> Any:
    """A column as a model of its own with the same weights."""
    part = model.get_layer(f"column_{number}")
    copy = keras.models.clone_model(part)
    copy.set_weights(part.get_weights())
    return compiled(copy)


def test_trained_together_the_columns_become_what_they_become_alone() -> None:
    model, (x, y) = committee(), data()
    parts = [alone(model, 1), alone(model, 2)]
    for _ in range(5):
        together = model.train_on_batch(x, y, return_dict=True)
        each = [part.train_on_batch(x, y, return_dict=True) for part in parts]
        assert together["loss"] == pytest.approx(sum(one["loss"] for one in each), rel=1e-5)
        assert [together["accuracy_1"], together["accuracy_2"]] == pytest.approx([one["accuracy"] for one in each])
        model.reset_metrics()
        for part in parts:
            part.reset_metrics()
    for number, part in enumerate(parts, start=1):
        for found, expected in zip(model.get_layer(f"column_{number}").get_weights(), part.get_weights(), strict=True):
            np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


def test_gradients_of_the_sum_are_each_column_s_own() -> None:
    model, (x, y) = committee(), data()
    with tf.GradientTape() as tape:
        total = model.compute_loss(x, y, model(x, training=True))
    joint = tape.gradient(total, model.trainable_variables)
    single = []
    for number in (1, 2):
        part = model.get_layer(f"column_{number}")
        with tf.GradientTape() as tape:
            value = loss()(y, part(x, training=True))
        single += tape.gradient(value, part.trainable_variables)
    assert len(joint) == len(single) == 12
    for found, expected in zip(joint, single, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-7)


def test_weights_of_the_loss_reach_every_column() -> None:
    model, (x, y) = committee(), data()
    weights = np.linspace(0, 2, 12).astype(np.float32)
    outputs = model(x, training=True)
    expected = sum(float(loss()(y, outputs[n], sample_weight=weights)) for n in (1, 2))
    assert float(model.compute_loss(x, y, outputs, weights)) == pytest.approx(expected, rel=1e-5)


def test_a_loss_by_its_name_is_added_over_the_columns_too() -> None:
    model, (x, y) = committee(), data()
    model.compile("sgd", "mse")
    labels = np.eye(3, dtype=np.float32)[y]
    outputs = [np.asarray(output) for output in model(x, training=True)]
    expected = sum(np.mean((output - labels) ** 2) for output in outputs[1:])
    assert float(model.compute_loss(x, labels, outputs)) == pytest.approx(expected, rel=1e-5)


def test_the_output_is_the_logarithm_of_the_mean_probability() -> None:
    model, (x, y) = committee(), data()
    logits = [np.asarray(model.get_layer(f"column_{n}")(x, training=False)) for n in (1, 2)]
    mean = (softmax(logits[0], axis=-1) + softmax(logits[1], axis=-1)) / 2
    np.testing.assert_allclose(model.predict(x, verbose=0), np.log(mean), rtol=1e-4, atol=1e-5)
    found = model.evaluate(x, y, verbose=0, return_dict=True)
    assert found["loss"] == pytest.approx(-np.log(mean[np.arange(12), y]).mean(), rel=1e-4)
    assert found["accuracy"] == pytest.approx((mean.argmax(-1) == y).mean())
    for number, one in enumerate(logits, start=1):
        assert found[f"accuracy_{number}"] == pytest.approx((one.argmax(-1) == y).mean())


def test_columns_begin_with_weights_of_their_own_and_the_same_for_the_same_seed() -> None:
    def kernels() -> list[np.ndarray]:
        keras.utils.set_random_seed(4)
        model = committee()
        return [model.get_layer(f"column_{n}").get_weights()[0] for n in (1, 2)]

    first, second = kernels(), kernels()
    assert np.abs(first[0] - first[1]).max() > 0.1
    np.testing.assert_array_equal(first, second)


def test_columns_may_be_different_nets() -> None:
    layers = keras.layers
    model = MultiColumn((4, 5, 1), columns=[column(), [layers.Flatten(), layers.Dense(3)]])
    assert model.count_params() == (20 * 6 + 6 + 4 * 6 + 6 * 3 + 3) + (20 * 3 + 3)


def test_a_saved_model_answers_the_same_and_still_knows_its_columns(tmp_path: Path) -> None:
    model, (x, y) = committee(), data()
    model.train_on_batch(x, y)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(again.predict(x, verbose=0), model.predict(x, verbose=0), atol=1e-6)
    assert again.evaluate(x, y, verbose=0, return_dict=True).keys() >= {"loss", "accuracy", "accuracy_1", "accuracy_2"}


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of the recipe, which stands in the same folder."""
    folder = tmp_path_factory.mktemp("columns")
    (folder / "columns.yaml").write_text(RECIPE)
    trained(folder / "columns.yaml", "--out", folder / "one")
    return folder / "one"


def test_a_recipe_s_columns_are_in_the_history_and_in_eval_s_table(
    one: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    two = shutil.copytree(one, tmp_path / "two")
    with (one / "history.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {*COLUMNS, *(f"val_{name}" for name in COLUMNS)} <= rows[0].keys()
    chosen = json.loads((one / "metrics.json").read_text())["selected"]["epoch"]
    assert float(rows[chosen - 1]["val_accuracy_2"]) == max(float(row["val_accuracy_2"]) for row in rows)
    found = json.loads(run(capsys, "eval", one, two, "--format", "json").out)["scores"]
    assert [row["run"] for row in found] == [str(one), str(two), tasks.AVERAGE]
    model = keras.models.load_model(one / "model.keras")
    examples = build.dataset(reading.load(one / "recipe.yaml").get("data", "dataset")).read("train")
    assert model.predict(examples.x[:4], verbose=0).shape == (4, 10)
    for name in COLUMNS:
        assert 0.5 < found[0][name] <= 1
        assert found[2][name] is None  # of the average of runs, no column is known


def test_ended_after_an_epoch_and_resumed_it_is_the_same_model(one: Path, tmp_path: Path) -> None:
    """The columns' distortions are drawn from generators whose state is the model's."""
    recipe, parts = one.parent / "columns.yaml", tmp_path / "parts"
    trained(recipe, "fit.epochs=1", "--out", parts)
    trained(recipe, "--out", parts, "--resume", "--accept-changes")
    with np.load(one / "checkpoint" / "state.npz") as whole, np.load(parts / "checkpoint" / "state.npz") as other:
        names = [name for name in whole.files if name.startswith("model/")]
        assert len(names) > 12
        for name in names:
            np.testing.assert_array_equal(whole[name], other[name])


def test_mcdnn_has_five_columns_of_193_018_trainable_parameters() -> None:
    """Kernels and the two parameters a channel of batch normalisation; dense outputs with biases."""
    model = build.model(reading.load("cnn/mcdnn"), {"input_shape": (28, 28, 1), "num_classes": 10}, None)
    one = 9 * 16 + 2 * 16 + 9 * 16 * 32 + 2 * 32 + 9 * 32 * 64 + 2 * 64 + 9 * 64 * 64 + 2 * 64
    one += 4 * 4 * 64 * 128 + 2 * 128 + 128 * 10 + 10
    assert [sum(int(np.prod(w.shape)) for w in model.get_layer(f"column_{n}").trainable_weights)
            for n in range(1, 6)] == [one] * 5  # fmt: skip
    assert one == 193_018


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "takes either 'column' with 'preprocessing', or 'columns'"),
        ({"column": [DENSE], "columns": [[], []]}, "takes either 'column'"),
        ({"column": [DENSE]}, "'preprocessing' parameter of MultiColumn must be two or more lists"),
        ({"columns": [[DENSE]]}, "'columns' parameter of MultiColumn must be two or more lists"),
        ({"columns": [["Dense"], []]}, "must be a list of layers. Got 'Dense'"),
        ({"column": [DENSE], "preprocessing": [[], [keras.layers.Normalization()]]}, "Normalization is adapted"),
        ({"column": [DENSE], "preprocessing": [[], []]}, r"logits of the same classes. Got .*\(4, 5, 3\)"),
    ],
)
def test_what_is_no_list_of_columns_is_said(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MultiColumn((4, 5, 1), **arguments)
