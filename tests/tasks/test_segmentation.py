"""Segmentation: figures whatever the batch size, void left out, masks that move with images, checks before training."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from sklearn.metrics import confusion_matrix, jaccard_score

from dltool.recipe import catalogue
from dltool.tasks import base
from dltool.tasks._moved_masks import MovedMasks
from tests.command_line import run
from tests.shapes import shapes, write

SCALED = "{Rescaling: 0.00392156862745098}"
LOSS = "{SparseCategoricalCrossentropy: {from_logits: true, ignore_class: '${data.void}'}}"
RECIPE = f"""\
data:
  dataset: {{ImageMasks: {{path: shapes, classes: [ground, disc, square, edge], void: edge}}}}
  augment: [{{RandomFlip: horizontal}}]
model:
  - {SCALED}
  - Conv2D: {{filters: 4, kernel_size: 3, padding: same, activation: relu}}
  - Conv2D: {{filters: "${{data.num_classes}}", kernel_size: 3, padding: same}}
compile:
  optimizer: {{Adam: {{learning_rate: 0.03}}}}
  loss: {LOSS}
  metrics: [{{MeanIoU: {{num_classes: 3, ignore_class: 3, sparse_y_pred: false}}}}]
fit: {{epochs: 2, batch_size: 8}}
seed: 1
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("segmentation")
    write(path / "shapes", *shapes(40))
    (path / "r.yaml").write_text(RECIPE)
    return path


@pytest.fixture(autouse=True)
def _there(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)


@pytest.fixture(scope="module")
def trained(folder: Path) -> Iterator[Path]:
    from dltool.recipe import build
    from dltool.runs import train

    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        yield folder / train.train(build.load("r.yaml"), out=Path("run")).run.path


def report(capsys: pytest.CaptureFixture[str], *arguments: object) -> dict[str, Any]:
    done = run(capsys, "eval", "run", "--format", "json", *arguments)
    assert done.status == 0, done.err
    return json.loads(done.out)


def test_figures_are_those_of_scikit_learn_without_void(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from dltool.recipe import build
    from dltool.recipe.data import Data
    from dltool.runs.opened import OpenedRun

    opened = OpenedRun("run")
    recipe = build.load("r.yaml")
    data = Data.of(recipe, build.dataset(recipe.section("data", "dataset")))
    x, y = next(data.pipeline("test", 99).batches())
    y, predicted = np.asarray(y).ravel(), opened.model.predict(x, verbose=0).argmax(axis=-1).ravel()
    y, predicted = y[y < 3], predicted[y < 3]  # 3 is void
    found = report(capsys, "--confusion")
    (row,) = found["scores"]
    assert row["pixel_accuracy"] == pytest.approx(float((y == predicted).mean()))
    assert row["mean_iou"] == pytest.approx(jaccard_score(y, predicted, average="macro"))
    assert row["mean_iou"] == pytest.approx(row["mean_io_u"], rel=1e-5)  # Keras's own
    table = pd.DataFrame(found["classes"])
    assert list(table["class"]) == ["ground", "disc", "square"]
    np.testing.assert_allclose(table["iou"], jaccard_score(y, predicted, average=None))
    matrix = pd.DataFrame(found["confusion"]).iloc[:, 2:].to_numpy()
    np.testing.assert_array_equal(matrix, confusion_matrix(y, predicted))
    assert table["pixels"].sum() == matrix.sum() == len(y)


def test_figures_do_not_depend_on_the_batch_size(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (expected,) = report(capsys)["scores"]
    names = [name for name, value in expected.items() if isinstance(value, float)]
    assert {"loss", "mean_io_u", "pixel_accuracy", "mean_accuracy", "mean_iou"} == {*names}
    for size in (1, 3):
        (found,) = report(capsys, "--batch-size", size)["scores"]
        assert [found[name] for name in names] == pytest.approx([expected[name] for name in names], rel=1e-5)
    metrics = json.loads(Path("run/metrics.json").read_text())
    assert metrics["test"]["loss"] == pytest.approx(expected["loss"], rel=1e-5)


def test_requirements_and_a_row_an_image(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "eval", "run", "--require", "mean_iou>=0.1").status == 0
    unmet = run(capsys, "eval", "run", "--require", "mean_iou>1")
    assert unmet.status == 3 and "mean_iou>1 is not met" in unmet.err
    found = report(capsys, "--predictions", "p.csv")
    frame, table = pd.read_csv("p.csv"), pd.DataFrame(found["classes"])
    assert len(frame) == found["scores"][0]["examples"] == 8
    assert frame["file"].str.endswith(".png").all() and frame["pixels"].sum() == table["pixels"].sum()
    mean = np.average(frame["pixel_accuracy"], weights=frame["pixels"])
    assert mean == pytest.approx(found["scores"][0]["pixel_accuracy"])


def test_the_run_says_its_task_and_meets_other_masks(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert json.loads(Path("run/data.json").read_text())["task"] == "segmentation"
    write(Path("other"), *shapes(5, seed=7))
    (row,) = report(capsys, "--data", "ImageMasks: other")["scores"]
    assert (row["split"], row["examples"]) == ("all", 5) and row["mean_iou"] > 0.1
    done = run(capsys, "eval", "run", "--data", "Digits")
    assert done.status == 5 and "targets differ in kind (the run's and the data's: masks and classes)" in done.err


def test_classes_are_weighed_by_their_pixels_and_void_by_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    done = run(capsys, "train", "r.yaml", "fit.class_weight=balanced", "fit.epochs=1", "--out", "weighed", "-q")
    assert done.status == 0, done.err
    task = base.find("segmentation")
    np.testing.assert_array_equal(task.weights(np.array([1.0, 2.0], np.float32), {"void": 2}), [1, 2, 0])
    np.testing.assert_array_equal(task.weights(np.array([1.0, 2.0], np.float32), {}), [1, 2])


@pytest.mark.parametrize(
    ("override", "line", "message"),
    [
        (f"compile.loss={LOSS.split(', ignore')[0]}}}}}", "compile.loss", "Set ignore_class: ${data.void}."),
        ("model.2.Conv2D.padding=valid", "model[2]", "gives masks of 22 x 22, those of the data are 24 x 24."),
        (f"model=[{SCALED}, Flatten, {{Dense: 3}}]", "model[2]", "gives outputs of shape (3,); masks need (rows,"),
        ("model.2.Conv2D.filters=2", "model[2]", "gives 2 outputs, the data have 3 classes."),
        ("data.augment=[{RandomFlip: horizontal}, ElasticDistortion]", "data.augment[1]", "masks can't follow"),
        ("data.augment=[RandomErasing, ContrastLimitedAdaptiveHistogramEqualization]", "data.augment[1]", "how masks"),
        ("data.augment=[RandomErasing, Equalization]", "data.augment[1]", "can't stand in a model: Keras takes its"),
        ("data.dataset.ImageMasks.void=egde", "data.dataset.ImageMasks", "Got 'egde' instead. Did you mean 'edge'?"),
        ("data.dataset.ImageMasks.classes=[a, b]", "data.dataset.ImageMasks", "Got 'edge' instead. Classes: a, b."),
        ("data.augment=[{CutMix: 1.0}]", "data.augment[0]", "CutMix changes images in a way that masks can't follow"),
    ],
)
def test_what_does_not_fit_is_reported_at_its_line(
    override: str, line: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    done = run(capsys, "train", "r.yaml", override, "--out", "wrong")
    assert done.status == 2 and f"{line}: " in done.err and message in done.err, done.err
    assert not Path("wrong").exists()


LAYERS = {
    "RandomFlip": {},
    "RandomTranslation": {"height_factor": 0.3, "width_factor": 0.3},
    "RandomRotation": {"factor": 0.2},
    "RandomZoom": {"height_factor": 0.4},
    "RandomShear": {"x_factor": 0.3, "y_factor": 0.3},
    "RandomPerspective": {"factor": 1.0, "scale": 0.5},
}


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("fill", ["reflect", "constant"])
def test_masks_move_as_images_do(name: str, fill: str) -> None:
    keras.utils.set_random_seed(3)
    _, masks = shapes(8)
    masks = masks.astype("int32")
    arguments = LAYERS[name] if name == "RandomFlip" else {**LAYERS[name], "interpolation": "nearest"}
    if name not in ("RandomFlip", "RandomPerspective"):
        arguments = {**arguments, "fill_mode": fill, "fill_value": 3.0}
    elif name == "RandomPerspective":
        arguments = {**arguments, "fill_value": 3.0}
    augment = MovedMasks([getattr(keras.layers, name)(**arguments)], (24, 24, 1), 3)
    images = masks[..., np.newaxis].astype("float32")  # so that an image shows its own mask, and 3 void
    moved, followed = augment.move(images, masks)
    assert followed.dtype == "int32"
    assert (np.asarray(moved)[..., 0] != masks).any()
    np.testing.assert_array_equal(np.asarray(moved)[..., 0], followed)


def test_what_leaves_pixels_in_place_leaves_masks() -> None:
    images, masks = shapes(4)
    layers = [keras.layers.RandomBrightness(0.5), keras.layers.GaussianNoise(0.5), keras.layers.RandomContrast(0.5)]
    moved, followed = MovedMasks(layers, (24, 24, 3), None).move(images.astype("float32"), masks)
    np.testing.assert_array_equal(followed, masks)
    assert (np.asarray(moved) != images).any()


AUGMENTING = [
    name for name in catalogue.known("layers")
    if hasattr(getattr(keras.layers, name, None), "transform_segmentation_masks")
    and name not in catalogue.own("layers") and name != "Equalization"  # which no model can hold
]  # fmt: skip
SIZED = {"height": 24, "width": 24}
ARGUMENTS = {
    **{name: {"factor": 1.0} for name in ("RandomBrightness", "RandomErasing", "RandomGrayscale", "RandomContrast")},
    **{
        name: {**LAYERS[name], "fill_mode": "reflect"}
        for name in LAYERS
        if name not in ("RandomFlip", "RandomPerspective")
    },
    **dict.fromkeys(("CenterCrop", "RandomCrop", "Resizing"), SIZED),
    "Solarization": {"threshold_factor": 0.5},
    "RandomPosterization": {"factor": 2},
    "RandomSharpness": {"factor": 1.0},
    "RandomHue": {"factor": 0.5, "value_range": (0, 255)},
    "RandomSaturation": {"factor": 0.5, "value_range": (0, 255)},
    "RandomInvert": {"value_range": (0, 255)},
    "RandomColorDegeneration": {"factor": 1.0},
    "RandomColorJitter": {"brightness_factor": 0.5},
    "MaxNumBoundingBoxes": {"max_number": 1, "bounding_box_format": "xyxy"},
}


@pytest.mark.parametrize("name", AUGMENTING)
def test_each_layer_of_keras_leaves_masks_whole_or_is_refused(name: str) -> None:
    assert len(AUGMENTING) > 25
    images, masks = shapes(4)
    layer = getattr(keras.layers, name)(**ARGUMENTS.get(name, {}))
    try:
        augment = MovedMasks([layer], (24, 24, 3), 3)
    except ValueError as error:
        assert "masks can't follow" in str(error) or "how masks follow" in str(error) or "Set fill_mode" in str(error)
        assert name in REFUSED
        return
    assert name not in REFUSED
    moved, followed = tf.function(augment.move, autograph=False)(tf.cast(images, tf.float32), tf.cast(masks, tf.int32))
    assert moved.shape == images.shape and followed.shape == masks.shape and followed.dtype == tf.int32
    assert {*np.unique(followed)} <= {0, 1, 2, 3}
    if name in LAYERS:
        assert (np.asarray(followed) != masks).any()
    else:
        np.testing.assert_array_equal(followed, masks)


REFUSED = {
    "AugMix", "RandAugment", "RandomCrop", "RandomElasticTransform",
    "ContrastLimitedAdaptiveHistogramEqualization",
}  # fmt: skip


def test_a_constant_fill_needs_a_void_class() -> None:
    layer = keras.layers.RandomTranslation(0.1, 0.1, fill_mode="constant")
    with pytest.raises(ValueError, match="RandomTranslation fills pixels from beyond the border, which have no class"):
        MovedMasks([layer], (8, 8, 1), None)


def test_masks_are_laid_over_their_images() -> None:
    facts = {"task": "segmentation", "num_classes": 2, "class_colors": [[200, 0, 0], [0, 100, 50]], "void": 2}
    for picture in (np.full((1, 3), 40, np.uint8), np.full((1, 3, 3), 40, np.uint8)):
        drawn = base.of(facts).drawn(picture, np.array([[0, 1, 2]]), facts)
        np.testing.assert_array_equal(drawn, [[[120, 20, 20], [20, 70, 45], [40, 40, 40]]])  # half of both, or void


def test_words_name_the_class_of_most_pixels() -> None:
    facts = {"task": "segmentation", "class_names": ["a", "b"], "void": 2}
    masks = np.array([[[0, 1], [1, 2]], [[2, 2], [2, 2]]])
    assert base.of(facts).words(masks, facts) == ["b", ""]


def test_predictions_are_masks_of_the_values_trained_on(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from PIL import Image

    from dltool.runs.opened import OpenedRun

    images, masks = shapes(3, seed=9)
    write(Path("new"), images, masks)
    done = run(capsys, "predict", "run", "new/images", "--out", "answers")
    assert done.status == 0, done.err
    frame = pd.read_csv(io.StringIO(done.out))
    assert list(frame["file"]) == [f"new/images/00{n}.png" for n in range(3)]
    assert list(frame["mask"]) == [f"answers/new/images/00{n}.png" for n in range(3)]
    expected = OpenedRun("run").model.predict(images, verbose=0).argmax(axis=-1)
    for number, path in enumerate(frame["mask"]):
        with Image.open(path) as image:
            assert image.mode == "P"
            np.testing.assert_array_equal(np.asarray(image), expected[number])
    shares = frame.filter(like="share_")
    np.testing.assert_allclose(shares.sum(axis=1), 1)
    np.testing.assert_allclose(shares["share_disc"], (expected == 1).mean(axis=(1, 2)), atol=1e-6)
    with Image.open("answers/new/images/000-overlay.png") as image:
        overlay = np.asarray(image)
    ground = (expected[0] == 0) & (images[0].sum(axis=-1) > 0)
    # half the picture's and half the colour of class 1 of Pascal VOC, (128, 0, 0), rounded to even
    np.testing.assert_array_equal(overlay[ground], np.rint(images[0][ground] / 2 + np.array([64, 0, 0])))


def test_an_output_of_void_is_never_an_answer(tmp_path: Path) -> None:
    """A fourth output that is always the largest changes neither figures nor masks."""
    from PIL import Image

    from dltool.tasks.segmentation import _Confusion

    images, masks = shapes(3, seed=9)
    model = keras.Sequential([keras.Input((24, 24, 3)), keras.layers.Conv2D(4, 1)])
    model.layers[-1].bias.assign([0.0, 0.0, 0.0, 1e6])
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    facts = {"task": "segmentation", "num_classes": 3, "class_names": ["a", "b", "c"], "void": 3}
    asked = base.Asked(folder=tmp_path)
    answer = base.find("segmentation").answerer(base.Question([model], facts, asked))
    frame = answer(images, ["0.png", "1.png", "2.png"])
    outputs = model.predict(images, verbose=0)
    expected = outputs[..., :3].argmax(axis=-1)
    found = np.stack([np.asarray(Image.open(path)) for path in frame["mask"]])
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_allclose(frame.filter(like="share_").sum(axis=1), 1)
    counted = np.asarray(_Confusion(3, None)(tf.constant(outputs), masks)).sum(axis=0).reshape(3, 3)
    np.testing.assert_array_equal(counted, confusion_matrix(masks[masks < 3], expected[masks < 3]))


def test_every_picture_has_a_mask_of_its_own(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from PIL import Image

    from dltool.runs.opened import OpenedRun

    images, _ = shapes(6, seed=5)
    Path("mixed").mkdir()
    for name, image in zip(("x.bmp", "x.gif", "x.png", "x-overlay.png"), images, strict=False):
        Image.fromarray(image).save(Path("mixed") / name)
    np.save("mixed/a.npy", images[:2])
    np.savez("mixed/a.npz", x=images[2:4])
    model, folders = OpenedRun("run").model, ("pictures", "arrays")
    for folder, inputs, count in zip(folders, (["mixed"], ["mixed/a.npy", "mixed/a.npz"]), (4, 4), strict=True):
        for overwrite in ((), ("--overwrite",)):
            done = run(capsys, "predict", "run", *inputs, "--out", folder, "--batch-size", "1", *overwrite)
            assert done.status == 0, done.err
            frame = pd.read_csv(io.StringIO(done.out))
            assert frame["mask"].nunique() == count == len(frame)
            assert len([*Path(folder).rglob("*.png")]) == 2 * count
    assert sorted(path.name for path in Path("arrays/mixed").glob("*[0-9].png")) == [
        "a-000000.png", "a-000001.png", "a.npz-000000.png", "a.npz-000001.png",
    ]  # fmt: skip
    expected = model.predict(images[:4], verbose=0).argmax(axis=-1)
    found = np.stack([np.asarray(Image.open(path)) for path in frame["mask"]])
    np.testing.assert_array_equal(found, expected)


def test_masks_of_eval_and_of_predict_are_the_same_files(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for runs in (["run"], ["run", "run"]):
        done = run(capsys, "eval", *runs, "--predictions", "e.csv", "--out", "judged", "--overwrite")
        assert done.status == 0, done.err
        judged = pd.read_csv("e.csv")
        done = run(capsys, "predict", *runs, *judged["file"], "--out", "new", "--overwrite", "--batch-size", 3)
        assert done.status == 0, done.err
        new = pd.read_csv(io.StringIO(done.out))
        assert new["prediction"].tolist() == judged["prediction"].tolist()
        np.testing.assert_array_equal(new.filter(like="share_"), judged.filter(like="share_"))
        for one, other in zip(new["mask"], judged["mask"], strict=True):
            assert Path(one).read_bytes() == Path(other).read_bytes()
    refused = run(capsys, "eval", "run", "--out", "judged")
    assert refused.status == 2 and "--out: pictures go with --predictions FILE" in refused.err


def test_pictures_are_not_replaced_unless_asked(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(Path("one"), *shapes(1, seed=3))
    asked = ("predict", "run", "one/images/000.png", "--out", "kept")
    assert run(capsys, *asked).status == 0
    refused = run(capsys, *asked)
    assert refused.status == 2 and "kept/one/images/000.png: exists already. Use --overwrite" in refused.err
    assert run(capsys, *asked, "--overwrite").status == 0
    Path("kept/one/images/000.png").write_bytes(b"mine")
    assert run(capsys, *asked, "--overwrite").status == 2
    assert Path("kept/one/images/000.png").read_bytes() == b"mine"
    assert run(capsys, "predict", "run", "one/images/000.png", "--top", 2).status == 2
