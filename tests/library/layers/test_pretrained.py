"""Pre-trained bases: cut, wired in with their weights, frozen or not, saved whole, resumed, told when they change."""

from __future__ import annotations

import json
import shutil
from contextlib import chdir
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
import pytest

from dltool.graph.layer_tree import parts
from dltool.init_stats.declared_variance import redraw
from dltool.library.layers._application_base import with_preprocessing
from dltool.library.layers.application_preprocessing import ApplicationPreprocessing
from dltool.library.layers.pretrained import Pretrained
from dltool.library.layers.repeat import Repeat
from dltool.library.layers.residual import Residual
from tests.command_line import run, trained, write_quick

BASE = """\
# A base on five digits.
data: {dataset: Digits, validation_split: 0.1, classes: [0, 1, 2, 3, 4]}
model:
  - Normalization: {axis: null}
  - Conv2D: {filters: 6, kernel_size: 3, activation: relu}
  - Residual: {layers: [{Conv2D: {filters: 6, kernel_size: 3, padding: same}}, BatchNormalization], activation: relu}
  - Flatten
  - Repeat: {layers: [{Dense: {units: 12, activation: relu}}], times: 2}
  - Dropout: 0.2
  - Dense: ${data.num_classes}
compile:
  optimizer: {Adam: {learning_rate: 1e-2}}
  loss: {SparseCategoricalCrossentropy: {from_logits: true}}
  metrics: [accuracy]
fit: {epochs: 2, batch_size: 32}
seed: 1
"""
TUNED = """\
# Its features for the other five.
data: {dataset: Digits, validation_split: 0.1, classes: [5, 6, 7, 8, 9], examples_per_class: 16}
model:
  - Pretrained: {source: base, trainable: false}
  - Dense: ${data.num_classes}
compile:
  optimizer: {Adam: {learning_rate: 1e-2}}
  loss: {SparseCategoricalCrossentropy: {from_logits: true}}
  metrics: [accuracy]
fit: {epochs: 3, batch_size: 16}
deterministic: true
seed: 1
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the run `base`, and the recipe that builds on it."""
    path = tmp_path_factory.mktemp("pretrained")
    trained(write_quick(path, "base.yaml", BASE), "--out", path / "base")
    write_quick(path, "tuned.yaml", TUNED)
    return path


@pytest.fixture
def here(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(folder)
    return folder


def images(count: int = 7) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 17, (count, 8, 8, 1)).astype("float32")


# -- cutting ---------------------------------------------------------------------------------------------


def test_a_base_gives_what_the_layer_before_its_head_gave(here: Path) -> None:
    whole = keras.models.load_model("base/model.keras")
    before_head = keras.Model(whole.inputs, whole.layers[-2].output)  # the dropout before the last dense layer
    np.testing.assert_array_equal(Pretrained("base")(images()), before_head(images()))
    np.testing.assert_array_equal(Pretrained("base/model.keras", without_top=0)(images()), whole(images()))
    inner = Pretrained("base", up_to="dense_1")
    flat = whole.get_layer("flatten").output
    first = whole.get_layer("dense_1")
    twin = keras.Model(whole.inputs, keras.layers.Dense(12, activation="relu", name="twin")(flat))
    twin.get_layer("twin").set_weights(first.get_weights())
    np.testing.assert_allclose(inner(images()), twin(images()), rtol=1e-6)
    assert [layer.name for layer in inner.layers[-2:]] == ["flatten", "dense_1"]


def test_layers_with_weights_are_counted_from_the_output_and_take_what_follows_with_them(here: Path) -> None:
    shapes = {count: Pretrained("base", without_top=count).output_shape for count in (1, 2, 3)}
    assert shapes == {1: (None, 12), 2: (None, 12), 3: (None, 216)}  # without the repeated layers: 6 x 6 x 6
    with pytest.raises(ValueError, match="paths meet in its layer 'add': say with up_to which layer to keep"):
        Pretrained("base", without_top=4)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"up_to": "flaten"}, "it has no layer 'flaten'. Did you mean 'flatten'?"),
        ({"up_to": "flatten/x"}, "its layer 'flatten' is no model with layers inside"),
        ({"up_to": "flatten", "without_top": 1}, "'up_to' and 'without_top' both say where to cut"),
        ({"without_top": -1}, "'without_top' must be an int >= 0. Got -1."),
        ({"layers": []}, "has its own layers: remove 'layers'"),
    ],
)
def test_a_base_that_cannot_be_cut_so_says_why(arguments: dict[str, Any], message: str, here: Path) -> None:
    with pytest.raises(ValueError) as raised:
        Pretrained("base", **arguments)
    assert message in str(raised.value)


def test_weights_alone_are_loaded_into_the_layers_given(here: Path, tmp_path: Path) -> None:
    keras.utils.set_random_seed(0)
    layers = [keras.layers.Conv2D(3, 3), keras.layers.Flatten(), keras.layers.Dense(4), keras.layers.Dense(2)]
    whole = keras.Sequential([keras.Input((8, 8, 1)), *layers])
    whole.save_weights(tmp_path / "whole.weights.h5")
    fresh = [keras.layers.Conv2D(3, 3), keras.layers.Flatten(), keras.layers.Dense(4)]
    inputs = keras.Input((8, 8, 1))
    base = keras.Model(inputs, Pretrained(tmp_path / "whole.weights.h5", layers=fresh, trainable=False)(inputs))
    np.testing.assert_array_equal(base(images()), keras.Model(whole.inputs, layers[2].output)(images()))
    assert base.trainable_weights == []
    with pytest.raises(ValueError, match="holds weights alone: give the 'layers'"):
        Pretrained(tmp_path / "whole.weights.h5")


def test_what_has_learned_is_not_repeated_without_what_it_has_learned(here: Path) -> None:
    base = Pretrained("base", up_to="conv2d")
    with pytest.raises(ValueError, match="pre-trained, and copies of it would have none"):
        Repeat([base], 2)
    with pytest.raises(ValueError, match="pre-trained, and copies of it would have none"):
        Repeat([Residual([Pretrained("base", up_to="conv2d")])], 2)(keras.Input((8, 8, 1)))


# -- in recipes --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tuned(folder: Path) -> Path:
    with chdir(folder):
        trained("tuned.yaml", "--out", "tuned")
    return folder / "tuned"


def test_a_frozen_base_keeps_every_bit_and_the_head_learns(folder: Path, tuned: Path) -> None:
    base, whole = (keras.models.load_model(path / "model.keras") for path in (tuned, folder / "base"))
    inside = base.layers[0]
    kept, found = whole.get_weights()[:-2], inside.get_weights()  # without the head's kernel and bias
    assert len(found) == 3 + 2 + 2 + 4 + 4  # normalisation, two convolutions, batch normalisation, two dense layers
    assert all(np.array_equal(*pair) for pair in zip(kept, found, strict=True))
    assert {weight.path.split("/")[-2] for weight in base.trainable_weights} == {"dense"}
    losses = pd.read_csv(tuned / "history.csv")["loss"]
    assert losses.iloc[-1] < losses.iloc[0]


def test_a_tuned_run_needs_its_base_no_more(
    tuned: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    alone = tmp_path / "alone"
    shutil.copytree(tuned, alone)
    monkeypatch.chdir(tmp_path)
    kept = json.loads((alone / "metrics.json").read_text())["test"]["accuracy"]
    found = json.loads(run(capsys, "eval", alone, "--format", "json").out)["scores"][0]
    assert found["accuracy"] == pytest.approx(kept)
    rows = json.loads(run(capsys, "summary", alone, "--format", "json").out)["layers"]
    assert [row["layer"] for row in rows][1:3] == ["base/conv2d", "base/conv2d_1"]
    shown = run(capsys, "visualize-filters", alone, "--mode", "kernels", "--layers", "base/conv2d", "--out", "sheets")
    assert shown.status == 0, shown.err
    assert (tmp_path / "sheets" / "index.html").is_file()


def test_summary_and_init_stats_look_into_the_base(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    done = run(capsys, "summary", "tuned.yaml", "--format", "json")
    assert done.status == 0, done.err
    total = json.loads(done.out)["total"][0]
    assert total["trainable_parameters"] == 12 * 5 + 5
    done = run(capsys, "init-stats", "tuned.yaml", "--seeds", "2", "--batches", "1", "--format", "json")
    assert done.status == 0, done.err
    assert "base/conv2d" in done.out


def test_drawing_weights_anew_leaves_a_base_what_it_has_learned(here: Path) -> None:
    base = Pretrained("base")
    model = keras.Sequential([keras.Input((8, 8, 1)), base, keras.layers.Dense(3)])
    before = model.get_weights()
    assert redraw(model, parts(model), seed=5) == []
    changed = [not np.array_equal(*pair) for pair in zip(before, model.get_weights(), strict=True)]
    assert changed == [False] * len(base.weights) + [True, False]  # the head's kernel; its bias is drawn as zero again


def test_a_changed_base_is_noticed_on_resume_and_the_paths_are_the_runs_own(
    folder: Path, tuned: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)  # from another folder
    (record,) = json.loads((tuned / "bases.json").read_text())["bases"]
    assert record["at"] == "model[0].Pretrained.source" and record["source"] == str(folder / "base")
    model = folder / "base" / "model.keras"
    kept = model.read_bytes()
    try:
        keras.models.load_model(model).save(model)  # the same weights at another time
        done = run(capsys, "train", tuned, "--resume")
        assert done.status == 2 and len(done.err.splitlines()) == 1
        assert "the base" in done.err and "has changed since" in done.err
        assert run(capsys, "train", tuned, "--resume", "--accept-changes", "-q").status == 0
    finally:
        model.write_bytes(kept)


def test_fine_tuning_that_was_resumed_equals_unbroken(here: Path, tuned: Path) -> None:
    trained("tuned.yaml", "fit.epochs=2", "--out", "broken")
    trained("tuned.yaml", "--out", "broken", "--resume", "--accept-changes")
    models = [keras.models.load_model(path / "model.keras").get_weights() for path in (tuned, here / "broken")]
    assert all(np.array_equal(*pair) for pair in zip(*models, strict=True))


@pytest.mark.parametrize(
    ("override", "place", "message"),
    [
        ("model.0.Pretrained.source=bsae", "model[0].Pretrained", "there is no run and no file at bsae"),
        ("model.0.Pretrained.up_to=conv", "model[0].Pretrained", "has no layer 'conv'. Did you mean 'conv2d'?"),
        ("model.0.Pretrained.without=1", "model[0].Pretrained", "no argument 'without'"),
        ("data.dataset={Mnist: {}}", "model[0].Pretrained", "expected shape=(None, 8, 8, 1)"),
        ("model.0={MobileNetV9: {}}", "model[0]", "no layer named 'MobileNetV9'"),
    ],
)
def test_what_is_wrong_with_a_base_is_told_at_its_line(
    override: str, place: str, message: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["tuned.yaml", override, "--input-shape", "28,28,1" if "Mnist" in override else "8,8,1"]
    done = run(capsys, "summary", *arguments, "--classes", "5")
    assert (done.status, len(done.err.splitlines())) == (2, 1), done.err
    assert f"tuned.yaml:{'4' if 'Mnist' in override else ''}" in done.err or "--set" in done.err or place in done.err
    assert place in done.err and message in done.err


# -- nets of keras.applications ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["MobileNetV2", "DenseNet121", "ResNet50"], ids=["tf", "torch", "caffe"])
def test_preprocessing_is_the_applications_own(name: str) -> None:
    import sys

    pixels = np.random.default_rng(0).integers(0, 256, (2, 4, 4, 3)).astype("float32")
    expected = sys.modules[getattr(keras.applications, name).__module__].preprocess_input(pixels.copy())
    layer = ApplicationPreprocessing(name)
    np.testing.assert_allclose(layer(pixels), expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(layer(pixels.astype("uint8")), expected, rtol=1e-5, atol=1e-5)
    assert not layer.does_nothing
    assert ApplicationPreprocessing.from_config(layer.get_config()).application == name


def test_a_net_with_weights_comes_with_its_preprocessing_and_one_without_does_not(tmp_path: Path) -> None:
    make = with_preprocessing(keras.applications.MobileNetV2)
    given = {"include_top": False, "input_shape": (32, 32, 3), "alpha": 0.35, "pooling": "avg"}
    bare = make(weights=None, **given)
    bare.save_weights(tmp_path / "net.weights.h5")
    x = keras.Input((32, 32, 3))
    pixels = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3)).astype("float32")
    based = keras.Model(x, make(weights=str(tmp_path / "net.weights.h5"), **given)(x))
    np.testing.assert_allclose(based(pixels), bare(pixels / 127.5 - 1), rtol=1e-4, atol=1e-5)
    assert isinstance(bare, keras.Model)
    plain = make(weights=str(tmp_path / "net.weights.h5"), preprocessing=False, **given)
    np.testing.assert_array_equal(plain(pixels), bare(pixels))
    assert ApplicationPreprocessing("EfficientNetB0").does_nothing


@pytest.mark.parametrize(
    "failure",
    [
        Exception("URL fetch failure on https://example.org/weights.h5: None -- unreachable"),
        TimeoutError("The read operation timed out"),
        ValueError("Incomplete or corrupted file detected. The md5 file hash does not match the provided value"),
    ],
    ids=["unreachable", "silent", "cut short"],
)
def test_imagenets_weights_without_a_network_are_data_that_are_missing(
    failure: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from keras.src.applications import mobilenet_v2

    def refuse(*arguments: object, **keywords: object) -> None:
        raise failure

    monkeypatch.setattr(mobilenet_v2.file_utils, "get_file", refuse)
    np.savez(tmp_path / "images.npz", x=np.zeros((20, 32, 32, 3), np.uint8), y=np.arange(20) % 2)
    body = "{include_top: false, pooling: avg, input_shape: '${data.input_shape}', alpha: 0.35}"
    text = TUNED.replace("Pretrained: {source: base, trainable: false}", f"MobileNetV2: {body}")
    text = text.replace("dataset: Digits, validation_split: 0.1, classes: [5, 6, 7, 8, 9], examples_per_class: 16",
                        f"dataset: {{Npz: {tmp_path / 'images.npz'}}}")  # fmt: skip
    done = run(capsys, "train", write_quick(tmp_path, text=text), "--out", tmp_path / "run")
    assert (done.status, len(done.err.splitlines())) == (5, 1), done.err
    assert "the weights 'imagenet' are not in Keras's cache" in done.err
    assert not (tmp_path / "run").exists()
    counted = run(capsys, "summary", tmp_path / "quick.yaml", "--format", "json")
    assert counted.status == 0, counted.err  # counting needs no weights
