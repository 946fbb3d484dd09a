"""Made images in training batches: which are replaced, by what, and runs that have no generator told the class."""

from __future__ import annotations

import json
from pathlib import Path

import keras
import numpy as np
import pytest

from dltool.library.layers.made_images import MadeImages
from dltool.library.layers.mix_up import MixUp
from dltool.training.augmentation import augmented
from tests.command_line import QUICK, run, write_quick

NOISE, CLASSES = 3, 4
FEW = """\
# A generator of few examples.
data: {dataset: Digits, inputs: {noise: 3, classes: true}, examples_per_class: 3}
model: [{Dense: {units: 64, activation: sigmoid}}, {Reshape: "${data.target_shape}"}]
compile: {optimizer: Adam, loss: SlicedWasserstein}
procedure: {Adversarial: {discriminator: [Flatten, {Dense: "${data.num_classes}"}], optimizer: Adam}}
"""


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose generator gives two pixels of value class / 4."""
    folder = tmp_path_factory.mktemp("generator")
    kernel = np.concatenate([np.zeros((NOISE, 2)), np.arange(CLASSES)[:, None] / 4 * np.ones((1, 2))])
    layer = keras.layers.Dense(2, use_bias=False)
    model = keras.Sequential([keras.Input((NOISE + CLASSES,)), layer, keras.layers.Reshape((1, 2))])
    layer.set_weights([kernel])
    model.save(folder / "model.keras")
    facts = {"noise": NOISE, "num_classes": CLASSES, "pixel_range": [0, 100], "input_shape": [7]}
    (folder / "data.json").write_text(json.dumps(facts), encoding="utf-8")
    return folder


@pytest.mark.parametrize("one_hot", [False, True])
@pytest.mark.parametrize("rate", [0, 0.5, 1])
def test_a_share_of_images_is_replaced_by_made_ones_of_their_class_in_the_range_of_the_data(
    source: Path, rate: float, one_hot: bool
) -> None:
    labels = np.arange(400, dtype="int32") % CLASSES
    augment = keras.Sequential([keras.Input((1, 2)), MadeImages(str(source), rate, seed=1)])
    targets = np.eye(CLASSES, dtype="float32")[labels] if one_hot else labels
    images, mixture = augmented(augment, np.full((400, 1, 2), -1.0, "float32"), targets)
    made = np.asarray(images)[:, 0, 0] >= 0
    assert mixture is None and made.mean() == pytest.approx(rate, abs=0.08)
    np.testing.assert_allclose(np.asarray(images)[made][:, 0], np.repeat(25.0 * labels[made][:, None], 2, 1))
    assert augment.trainable_variables == []
    np.testing.assert_array_equal(augment(images, training=False), images)


def test_it_comes_before_layers_that_mix_and_never_inside_a_model(source: Path) -> None:
    layer, x, y = MadeImages(str(source)), np.zeros((8, 1, 2), "float32"), np.zeros(8, "int32")
    with pytest.raises(ValueError, match="before layers that mix"):
        augmented(keras.Sequential([keras.Input((1, 2)), MixUp(), layer]), x, y)
    with pytest.raises(ValueError, match=r"stands in data\.augment itself"):
        layer(x, training=True)
    with pytest.raises(ValueError, match=r"makes images of shape \(1, 2\), these have \(2, 2\)"):
        MadeImages(str(source)).build((None, 2, 2))


@pytest.mark.parametrize(("change", "message"), [({"num_classes": None}, "told the class"), ({}, "a fraction in")])
def test_what_is_no_generator_told_the_class_is_refused(
    source: Path, tmp_path: Path, change: dict, message: str
) -> None:
    (tmp_path / "model.keras").write_bytes((source / "model.keras").read_bytes())
    facts = json.loads((source / "data.json").read_text(encoding="utf-8")) | change
    (tmp_path / "data.json").write_text(json.dumps(facts), encoding="utf-8")
    with pytest.raises(ValueError, match=message):
        MadeImages(str(tmp_path), rate=0.5 if change else 1.5)


def test_a_classifier_trains_with_images_that_a_run_of_few_examples_makes_and_knows_its_source(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("few.yaml").write_text(FEW, encoding="utf-8")
    assert run(capsys, "train", "few.yaml", "--out", "few").status == 0
    assert json.loads(Path("few", "data.json").read_text(encoding="utf-8"))["train_size"] == 30  # 3 of each class
    write_quick(tmp_path, "net.yaml", QUICK)
    augment = "data.augment=[{MadeImages: {source: few, rate: 0.3}}]"
    done = run(capsys, "train", "net.yaml", augment, "fit.epochs=1", "--out", "net")
    assert done.status == 0, done.err
    (base,) = json.loads(Path("net", "bases.json").read_text(encoding="utf-8"))["bases"]
    assert base["source"] == str(tmp_path / "few") and base["at"].startswith("data.augment[0].MadeImages")
    done = run(capsys, "train", "net.yaml", augment, "--out", "few", "--overwrite")
    assert done.status == 2 and "is in few, which this training replaces" in done.err
