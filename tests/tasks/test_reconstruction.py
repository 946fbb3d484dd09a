"""Reconstruction: targets are the inputs in [0, 1], splits are a classifier's, figures equal NumPy's."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import keras
import numpy as np
import pytest

from dltool.cli import app
from dltool.data.class_selection import with_classes
from dltool.data.reconstruction import with_inputs_as_targets
from dltool.data.splits import split
from dltool.library.datasets.digits import Digits
from dltool.library.metrics.squared_error import SquaredError
from tests.command_line import run

RECIPE = """\
data: {dataset: Digits, targets: inputs, validation_split: 0.1}
model:
  - Rescaling: 0.0625
  - Flatten
  - Dense: {units: 8, activation: tanh}
  - Dense: 64
  - Reshape: ${data.input_shape}
compile:
  optimizer: {Adam: {learning_rate: 0.01}}
  loss: {BinaryCrossentropy: {from_logits: true}}
  metrics: [{SquaredError: {from_logits: true}}]
fit: {epochs: 2, batch_size: 64}
seed: 1
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("reconstruction")
    (folder / "r.yaml").write_text(RECIPE)
    with contextlib.suppress(SystemExit):
        app.main(["train", str(folder / "r.yaml"), "--out", str(folder / "run"), "-q"])
    return folder


def test_targets_are_the_inputs_between_black_and_white() -> None:
    own, reconstructed = Digits().read("train"), with_inputs_as_targets(Digits()).read("train")
    np.testing.assert_array_equal(reconstructed.x, own.x)
    np.testing.assert_allclose(reconstructed.y, np.asarray(own.x) / 16)  # the digits' white is 16
    assert reconstructed.y.dtype == np.float32
    assert with_inputs_as_targets(with_classes(Digits(), [0, 1])).read("train").y.max() == 1


def test_splits_are_those_of_the_classifier() -> None:
    one, other = (split(data, test_split=0.2) for data in (Digits(), with_inputs_as_targets(Digits())))
    np.testing.assert_array_equal(one["test"].indices(), other["test"].indices())


def test_other_words_than_inputs_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "r.yaml").write_text(RECIPE.replace("targets: inputs", "targets: outputs"))
    assert "data.targets: must be inputs" in run(capsys, "train", str(tmp_path / "r.yaml")).err


def test_figures_equal_numpy(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    done = run(capsys, "eval", str(trained / "run"), "--format", "json")
    assert done.status == 0, done.err
    (figures,) = json.loads(done.out)["scores"]
    model = keras.saving.load_model(trained / "run" / "model.keras")
    test = split(Digits(), validation_split=0.1)["test"].indices()
    x = np.asarray(Digits().read("train").x)[test]
    errors = np.square(1 / (1 + np.exp(-np.asarray(model(x)))) - x / 16).reshape(len(x), -1).sum(axis=1)
    assert figures["squared_error"] == pytest.approx(errors.mean(), rel=1e-5)
    assert figures["rmse"] == pytest.approx(np.sqrt(errors.mean() / 64), rel=1e-5)
    metric = SquaredError(from_logits=True)
    metric.update_state(x[:50] / 16, model(x[:50]))
    metric.update_state(x[50:] / 16, model(x[50:]))
    assert float(metric.result()) == pytest.approx(errors.mean(), rel=1e-5)


def test_outputs_of_another_shape_are_refused_at_the_last_layer(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "r.yaml").write_text(RECIPE.replace("  - Reshape: ${data.input_shape}\n", ""))
    done = run(capsys, "train", str(tmp_path / "r.yaml"), "--out", str(tmp_path / "run"))
    assert done.status == 2
    assert "model[3]: gives outputs of shape (64,), the inputs have (8, 8, 1). End with Reshape" in done.err
