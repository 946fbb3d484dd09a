"""Made images in training batches: which are replaced, by what, and runs that have no generator told the class."""

from __future__ import annotations

import json
from pathlib import Path

import keras
import numpy as np
import pytest

from dltool.data.generation import with_noise_as_inputs
from dltool.errors import RecipeError
from dltool.library.datasets.digits import Digits
from dltool.library.layers.made_images import MadeImages
from dltool.library.layers.mix_up import MixUp
from dltool.recipe import reading
from dltool.recipe.data import Data
from dltool.runs import bases
from dltool.runs.directory import RunDirectory
from dltool.training.augmentation import augmented
from tests.command_line import QUICK, write_quick

NOISE, CLASSES = 3, 4


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


def test_a_run_knows_the_generator_of_its_augmentation_and_does_not_replace_it(source: Path, tmp_path: Path) -> None:
    recipe = reading.load(write_quick(tmp_path, "net.yaml", QUICK), [f"data.augment=[{{MadeImages: {source}}}]"])
    (base,) = bases.records(recipe)
    assert base["source"] == str(source) and base["at"] == "data.augment[0].MadeImages.source"
    with pytest.raises(RecipeError, match="which this training replaces"):
        bases.check_outlive(RunDirectory(source), recipe)


def test_examples_per_class_are_those_of_a_classifier_of_the_same_data() -> None:
    """So a generator and a classifier learn from the same few examples."""
    plain = Data(Digits(), examples_per_class=3)
    noise = Data(with_noise_as_inputs(Digits(), 2, classes=True), examples_per_class=3)
    assert noise.splits["train"].size == 30
    np.testing.assert_array_equal(noise.splits["train"].indices(), plain.splits["train"].indices())
