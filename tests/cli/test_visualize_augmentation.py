"""dltool visualize-augmentation: the sheet, its table, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.boxes import boxed_images, write_voc
from tests.command_line import QUICK, run, write_quick

AUGMENT = "  augment: [{Rescaling: 0.0625}, {Cutout: 3}, {MixUp: 1.0}]\nmodel:\n"
MIXED = QUICK.replace("model:\n", AUGMENT)
CUT = QUICK.replace("model:\n", "  augment: [{Cutout: 3}]\nmodel:\n")


def test_the_table_tells_classes_shares_and_changes_and_equal_seeds_give_equal_pictures(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = write_quick(tmp_path, text=MIXED)
    asked = ("visualize-augmentation", recipe, "--examples", 3, "--draws", 2, "--format", "json", "--out")
    done = run(capsys, *asked, tmp_path / "a.png")
    assert done.status == 0, done.err
    rows = json.loads(done.out)["augmented"]
    assert [(row["image"], row["draw"]) for row in rows] == [(1, 1), (1, 2), (2, 1), (2, 2), (3, 1), (3, 2)]
    for row in rows:
        shares = dict(part.split(" of ")[::-1] for part in row["targets"].split(" + "))
        assert sum(map(float, shares.values())) == pytest.approx(1, abs=0.02)
        assert shares.keys() <= set("0123456789")
        assert 0 < row["mean_change"] < 1  # of pixels in [0, 1]
    assert len({row["targets"] for row in rows}) > 3
    assert run(capsys, *asked, tmp_path / "b.png").status == 0
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_unmixed_images_keep_their_class_and_the_first_column_shows_them_as_they_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "cut.png"
    done = run(capsys, "visualize-augmentation", write_quick(tmp_path, text=CUT), "--out", out, "--format", "json")
    assert done.status == 0, done.err
    rows = json.loads(done.out)["augmented"]
    assert len(rows) == 36
    assert all(row["targets"] == row["class"] for row in rows)
    picture = np.asarray(Image.open(out).convert("L"))
    assert picture.shape[1] > 7 * 96
    assert np.unique(picture).size > 10  # more than black and white: digits have grey pixels


def test_several_recipes_stand_below_each_other(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one, other = write_quick(tmp_path, "one.yaml", MIXED), write_quick(tmp_path, "other.yaml", CUT)
    asked = ("--examples", 2, "--draws", 1, "--format", "json", "--out")
    heights = []
    for recipes in ([one], [other, "data.augment.0.Cutout=2"], [one, other, "data.augment.0.Cutout=2"]):
        done = run(capsys, "visualize-augmentation", *recipes, *asked, tmp_path / "x.png", "--overwrite")
        assert done.status == 0, done.err
        heights.append(np.asarray(Image.open(tmp_path / "x.png")).shape[0])
    assert heights[2] == heights[0] + heights[1]
    assert [row["recipe"] for row in json.loads(done.out)["augmented"]] == ["one", "one", "other", "other"]


@pytest.mark.parametrize(
    ("text", "arguments", "status", "message"),
    [
        (QUICK, ["--out", "x.png"], 2, "has no data.augment: training images stay unchanged"),
        (CUT, ["--out", "x.jpg"], 2, "--out x.jpg: must end in .png"),
        (CUT.replace("Cutout: 3", "Cutout: 0"), ["--out", "x.png"], 2, "'size' parameter of Cutout must be an int > 0"),
    ],
)
def test_what_it_cannot_draw_is_said_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
    text: str, arguments: list[str], status: int, message: str,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    done = run(capsys, "visualize-augmentation", write_quick(tmp_path, text=text), *arguments)
    assert done.status == status
    assert message in done.err
    assert done.out == ""
    assert list(tmp_path.glob("*.png")) == []


BOXES = """
data:
  dataset: {PascalVoc: {path: cells}}
  augment: [{RandomTranslation: {height_factor: [0.5, 0.5], width_factor: 0.0, fill_mode: constant}}]
model: [{Conv2D: {filters: 4, kernel_size: 1}}]
compile: {optimizer: SGD, loss: mse}
fit: {epochs: 1}
"""


def test_boxes_are_drawn_where_they_have_moved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    images, _ = boxed_images(2)
    write_voc(tmp_path / "cells", np.zeros_like(images), [[("disc", (8, 2, 20, 10))]] * 2)
    Path("boxes.yaml").write_text(BOXES)
    done = run(capsys, "visualize-augmentation", "boxes.yaml", "--examples", 1, "--draws", 1, "--format", "json")
    assert done.status == 0, done.err
    assert json.loads(done.out)["augmented"][0]["class"] == "1 disc"
    picture = np.asarray(Image.open("augmentation.png")).astype(int)
    coloured = np.ptp(picture, axis=-1) > 60  # a frame; the images are black
    columns = np.flatnonzero(coloured.sum(axis=0) > 60)  # its left and right sides in both pictures, of 8 * 10 pixels
    left = columns[np.append(True, np.diff(columns) > 20)]
    assert len(left) == 4
    rows = [np.flatnonzero(coloured[:, column])[[0, -1]] for column in left]
    np.testing.assert_allclose(rows[2][1] - rows[0][1], 12 * 10, atol=2)  # by half of 24 rows, each of 10 pixels
    Path("boxes.yaml").write_text(BOXES.replace("[{RandomTranslation", "[{CutMix: 1.0}, {RandomTranslation"))
    refused = run(capsys, "visualize-augmentation", "boxes.yaml", "--out", "other.png")
    assert refused.status == 2
    assert "boxes.yaml:4:13: data.augment[0]: CutMix changes images in a way that boxes can't follow" in refused.err
