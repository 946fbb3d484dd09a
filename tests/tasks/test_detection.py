"""Detection: figures are those of pycocotools, boxes of new images, checks before training."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from dltool.tasks import _average_precision as average_precision
from dltool.tasks._average_precision import Boxes
from tests.boxes import boxed_images, write_voc
from tests.command_line import run
from tests.overlaps import iou_of

RECIPE = """\
data:
  dataset: {PascalVoc: {path: cells, image_size: [32, 48], anchors: 2}}
model:
  - Rescaling: 0.00392156862745098
  - Conv2D: {filters: 4, kernel_size: 3, strides: 8, padding: same, activation: relu}
  - YoloHead: {anchors: "${data.anchors}", classes: "${data.num_classes}", stride: 8, score_threshold: 0.005}
compile:
  optimizer: {Adam: {learning_rate: 0.01}}
  loss: YoloLoss
  metrics: [{MeanAveragePrecision: {classes: "${data.num_classes}", least_score: 0.001}}]
fit: {epochs: 2, batch_size: 4}
select: {monitor: val_map_50, mode: max}
seed: 1
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("detection")
    parts = {"train": range(8), "val": range(8, 10), "test": range(10, 13)}
    write_voc(path / "cells", *boxed_images(13), parts)
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


# -- average precision ---------------------------------------------------------------------------------


def random_case(seed: int, classes: int = 3) -> Boxes:
    """Return true and found boxes of some images: crowds, images without boxes, equal scores."""
    rng = np.random.default_rng(seed)
    boxes = Boxes()
    for _ in range(rng.integers(1, 6)):
        count, extra = rng.integers(0, 7), rng.integers(0, 7)
        low, sizes = rng.uniform(0, 60, (count, 2)), rng.uniform(3, 40, (count, 2))
        labels, crowd = rng.integers(0, classes, count), rng.random(count) < 0.2
        truth = np.column_stack([low, low + sizes, labels, crowd])
        near = np.repeat(truth[:, :5], 1 + rng.integers(0, 2), axis=0)
        near[:, :4] += rng.normal(0, 3, (len(near), 4))
        far = np.column_stack(
            [rng.uniform(0, 50, (extra, 2)), rng.uniform(52, 99, (extra, 2)), rng.integers(0, classes, extra)]
        )
        found = np.concatenate([near, far])
        found[:, 2:4] = np.maximum(found[:, 2:4], found[:, :2] + 1)
        scores = np.round(rng.random(len(found)), 1 if seed % 3 == 0 else 6)
        found = np.column_stack([found, scores])[np.argsort(-scores, kind="stable")]
        boxes.add(truth, found)
    return boxes


def of_pycocotools(boxes: Boxes, classes: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Return precision (IoUs, recalls, classes) and recall (IoUs, classes) as pycocotools computes them."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    truth: dict[str, Any] = {"images": [], "annotations": [], "info": {}}
    truth["categories"] = [{"id": number + 1, "name": str(number)} for number in range(classes)]
    results = []
    for image, (own, found) in enumerate(zip(boxes.truth, boxes.found, strict=True), 1):
        truth["images"].append({"id": image, "width": 100, "height": 100})
        for x0, y0, x1, y1, label, ignored in own.tolist():
            size = {"bbox": [x0, y0, x1 - x0, y1 - y0], "area": (x1 - x0) * (y1 - y0)}
            place = {"id": len(truth["annotations"]) + 1, "image_id": image, "category_id": int(label) + 1}
            truth["annotations"].append({**place, **size, "iscrowd": int(ignored)})
        for x0, y0, x1, y1, label, score in found.tolist():
            row = {"image_id": image, "category_id": int(label) + 1, "score": score}
            results.append({**row, "bbox": [x0, y0, x1 - x0, y1 - y0]})
    with redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = truth
        coco.createIndex()
        if not results:
            nothing = np.where([any((t[:, 4] == c).any() and (t[t[:, 4] == c, 5] == 0).any() for t in boxes.truth)
                                for c in range(classes)], 0.0, -1.0)  # fmt: skip
            return np.tile(nothing, (10, 101, 1)), np.tile(nothing, (10, 1))
        judge = COCOeval(coco, coco.loadRes(results), "bbox")
        judge.evaluate()
        judge.accumulate()
    return judge.eval["precision"][:, :, :, 0, 2], judge.eval["recall"][:, :, 0, 2]


def check_cases(seeds: range) -> None:
    for seed in seeds:
        boxes = random_case(seed)
        found = average_precision.measure(boxes, 3)
        precision, recall = of_pycocotools(boxes)
        np.testing.assert_allclose(found.precision, precision, atol=1e-12, err_msg=f"case {seed}")
        np.testing.assert_allclose(found.recall, recall, atol=1e-12, err_msg=f"case {seed}")
        known = precision[0, 0] >= 0
        expected = precision[0][:, known].mean() if known.any() else np.nan
        np.testing.assert_allclose(found.mean(0), expected)


def test_average_precision_is_that_of_pycocotools_with_crowds_and_empty_images() -> None:
    check_cases(range(40))


@pytest.mark.slow
def test_average_precision_is_that_of_pycocotools_in_a_thousand_cases() -> None:
    check_cases(range(1000))


def test_without_true_boxes_there_is_no_figure_and_a_perfect_detector_has_1() -> None:
    nothing = average_precision.measure(Boxes(), 2)
    assert np.isnan(nothing.mean()) and np.isnan(nothing.of_classes()).all()
    boxes = Boxes()
    boxes.add(np.array([[0, 0, 9, 9, 1, 0]]), np.array([[0, 0, 9, 9, 1, 0.5]]))
    perfect = average_precision.measure(boxes, 2)
    assert perfect.mean() == perfect.mean(0) == 1
    np.testing.assert_array_equal(perfect.of_classes(0), [np.nan, 1])


# -- runs --------------------------------------------------------------------------------------------------


def test_eval_gives_precision_of_classes_whatever_the_batch_size(
    trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ("--format", "json", "--predictions", "boxes.csv", "--require", "map_50>=0")
    done = run(capsys, "eval", "run", *options)
    assert done.status == 0, done.err
    found = json.loads(done.out)
    (row,) = found["scores"]
    assert row["examples"] == 3 and 0 <= row["map_50_95"] <= row["map_50"] <= 1
    table = pd.DataFrame(found["classes"])
    assert list(table["class"]) == ["disc", "square"] and table["boxes"].sum() > 0
    assert row["map_50"] == pytest.approx(table["ap_50"].mean())
    done = run(capsys, "eval", "run", "--format", "json", "--batch-size", 2, "--require", "map_50>1")
    (other,) = json.loads(done.out)["scores"]
    assert done.status == 3 and "map_50>1 is not met" in done.err
    assert other["map_50"] == pytest.approx(row["map_50"]) and other["loss"] == pytest.approx(row["loss"], rel=1e-5)
    assert json.loads(Path("run/metrics.json").read_text())["selected"]["monitor"] == "val_map_50"
    frame = pd.read_csv("boxes.csv")
    assert list(frame.columns) == ["index", "file", "class", "score", "x_min", "y_min", "x_max", "y_max", "iou"]
    assert frame["score"].between(0.005, 1).all() and frame["iou"].between(0, 1).all()


def test_the_metric_of_training_is_the_figure_of_eval(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from dltool.library.metrics.mean_average_precision import MeanAveragePrecision

    rng = np.random.default_rng(0)
    for seed in range(4):
        boxes = random_case(seed)
        truth, outputs = as_tensors(boxes, rng)
        metric = MeanAveragePrecision(3, suppression=1.0, least_score=0.0, max_boxes=24)
        for start in range(0, len(truth), 2):
            metric.update_state(truth[start : start + 2], outputs[start : start + 2])
        expected = average_precision.measure(boxes, 3).mean(0)
        assert float(metric.result()) == pytest.approx(0 if np.isnan(expected) else expected, abs=2e-3)


def as_tensors(boxes: Boxes, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return targets and outputs of a detector that finds given boxes, with other scores in the same order."""
    most, candidates = 8, 24
    truth = np.tile(np.array([0, 0, 0, 0, -1, 0], np.float32), (len(boxes.truth), most, 1))
    outputs = np.zeros((len(boxes.found), candidates, 12), np.float32)
    outputs[..., 8] = -30  # P(object) = 1e-13
    scores = rng.permutation(np.linspace(0.05, 0.95, sum(map(len, boxes.found))))
    for image, (own, found) in enumerate(zip(boxes.truth, boxes.found, strict=True)):
        truth[image, : len(own)] = own
        found[:, 5], scores = np.sort(scores[: len(found)])[::-1], scores[len(found) :]
        outputs[image, : len(found), :4] = found[:, :4]
        outputs[image, : len(found), 8] = np.log(found[:, 5] / (1 - found[:, 5]))
        outputs[image, np.arange(len(found)), 9 + found[:, 4].astype(int)] = 40
    return truth, outputs


def test_predict_gives_boxes_in_pixels_of_each_file_and_draws_them(
    trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture = Image.open("cells/JPEGImages/010.png")  # 24 x 32, the model sees 32 x 48
    picture.resize((96, 96)).save("large.png")
    done = run(capsys, "predict", "run", "cells/JPEGImages/010.png", "large.png", "--out", "drawn")
    assert done.status == 0, done.err
    frame = pd.read_csv(io.StringIO(done.out))
    assert list(frame.columns) == ["file", "class", "score", "x_min", "y_min", "x_max", "y_max"]
    small, large = (frame[frame["file"] == name] for name in ("cells/JPEGImages/010.png", "large.png"))
    assert len(small) and small["x_max"].max() <= 32 and small["y_max"].max() <= 24
    assert large["x_max"].max() > 32 and large["y_max"].max() > 24
    drawn = np.asarray(Image.open("drawn/large-boxes.png"))
    assert drawn.shape == (640, 960, 3) and Path("drawn/cells/JPEGImages/010-boxes.png").is_file()


def test_coco_results_of_predict_are_its_rows(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = run(capsys, "predict", "run", "cells/JPEGImages/010.png", "--format", "json").out
    rows = pd.read_json(io.StringIO(lines), lines=True)
    assert list(rows.columns) == ["file", "class", "score", "x_min", "y_min", "x_max", "y_max"]
    found = json.loads(run(capsys, "predict", "run", "cells/JPEGImages/010.png", "--format", "coco").out)
    assert len(found) == len(rows) and {one["image_id"] for one in found} == {10}
    for one, row in zip(found, rows.itertuples(), strict=True):
        assert one["category_id"] == ["disc", "square"].index(row[2]) + 1 and one["score"] == pytest.approx(row.score)
        corners = [row.x_min, row.y_min, row.x_max - row.x_min, row.y_max - row.y_min]
        assert one["bbox"] == pytest.approx(corners, abs=0.02)


def test_coco_results_of_several_arrays_have_an_id_for_each_row(
    trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = np.random.default_rng(1).integers(0, 256, (2, 32, 48, 3)).astype(np.uint8)
    for name in ("a.npy", "b.npy"):
        np.save(name, images)
    several = json.loads(run(capsys, "predict", "run", "a.npy", "b.npy", "--format", "coco").out)
    assert {one["image_id"] for one in several} == {"a.npy:0", "a.npy:1", "b.npy:0", "b.npy:1"}
    alone = json.loads(run(capsys, "predict", "run", "a.npy", "--format", "coco").out)
    assert {one["image_id"] for one in alone} == {0, 1}
    assert all(side == round(side, 2) for one in alone for side in one["bbox"])


@pytest.mark.parametrize("count", [1, 3])
def test_the_metric_of_training_compiles_for_images_of_one_box(count: int) -> None:
    import tensorflow as tf

    from dltool.library.metrics.mean_average_precision import MeanAveragePrecision

    metric = MeanAveragePrecision(1, max_boxes=2)
    truth = np.tile(np.array([0, 0, 8, 8, 0, 0], np.float32), (2, count, 1))
    truth[:, 1:, 4] = -1
    found = np.array([0, 0, 8, 8, 4, 4, 8, 8, 9, 9], np.float32) * np.ones((2, 3, 1), np.float32)
    shapes = [tf.TensorSpec((None, count, 6)), tf.TensorSpec((None, 3, 10))]  # the batch size is not known
    tf.function(metric.update_state, input_signature=shapes)(truth, found)
    assert float(metric.result()) == pytest.approx(1, abs=1e-3)


def test_a_split_without_boxes_has_no_precision_to_draw(
    trained: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from dltool.tasks import detection

    monkeypatch.setattr(detection.Boxes, "add", lambda self, truth, found: None)
    done = run(capsys, "plot", "run", "--what", "precision", "--out", "none.png")
    assert done.status == 5 and "its test split has no true boxes" in done.err and not Path("none.png").exists()


# -- checks before training ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("model[2].YoloHead.classes=5", "has 5 classes, the data 2"),
        ("model[2].YoloHead.stride=16", "spans 64 x 96 pixels in 4 x 6 cells of 16 pixels, images have 32 x 48"),
        ("fit.class_weight=balanced", "weigh them in the loss"),
        ("model[2]={Flatten: {}}", "gives no boxes"),
    ],
)
def test_a_recipe_that_does_not_fit_is_refused_at_its_line(
    capsys: pytest.CaptureFixture[str], override: str, said: str
) -> None:
    done = run(capsys, "train", "r.yaml", override, "--out", "refused")
    assert done.status == 2 and said in done.err, done.err
    assert not Path("refused").exists()


def test_summary_knows_the_head(capsys: pytest.CaptureFixture[str]) -> None:
    done = run(capsys, "summary", "r.yaml", "--format", "json")
    assert done.status == 0, done.err
    assert "yolo_head" in done.out


def test_iou_of_tables_is_that_of_two_boxes() -> None:
    from dltool.tasks.detection import _best_iou

    truth = np.array([[0, 0, 10, 10, 1, 0], [5, 5, 20, 20, 1, 1], [4, 4, 12, 12, 0, 0], [0, 0, 0, 0, -1, 0]], float)
    box = np.array([3.0, 3, 12, 12])
    assert _best_iou(box, 1, truth) == pytest.approx(iou_of(box, truth[0]))  # ignored ones do not count
    assert _best_iou(box, 2, truth) == 0


def test_precision_over_recall_is_drawn(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    done = run(capsys, "plot", "run", "--what", "precision", "--out", "p.png", "--format", "json")
    assert done.status == 0, done.err
    drawn = pd.DataFrame(json.loads(done.out)["plotted"])
    assert list(drawn["class"]) == ["disc", "square"] and drawn["ap_50"].between(0, 1).all()
    assert set(drawn["iou"]) == {0.5} and Image.open("p.png").width > 300
