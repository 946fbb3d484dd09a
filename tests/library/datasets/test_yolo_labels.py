"""YoloLabels: boxes of text files, names of classes, parts, and faults named by file and line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dltool.library.datasets.pascal_voc import PascalVoc
from dltool.library.datasets.yolo_labels import YoloLabels
from tests.boxes import boxed_images, write_voc, write_yolo

X, THINGS = boxed_images(5)


def test_the_same_boxes_are_read_from_text_as_from_xml(tmp_path: Path) -> None:
    data = YoloLabels(write_yolo(tmp_path / "yolo", X, THINGS), image_size=[48, 64])
    other = PascalVoc(write_voc(tmp_path / "voc", X, THINGS), classes=["square", "disc"], image_size=[48, 64])
    assert data.facts() == other.facts() and data.hints() == []
    np.testing.assert_allclose(data.labels("train"), other.labels("train"), atol=1e-4)  # of six decimals
    assert YoloLabels(data.path, classes=["disc"]).class_counts("train").tolist() == [3]


@pytest.mark.parametrize("names", ["[square, disc]", "\n  0: square\n  1: disc\n"])
def test_names_may_stand_in_yaml(names: str, tmp_path: Path) -> None:
    write_yolo(tmp_path, X, THINGS, "train")
    write_yolo(tmp_path, X[:2], THINGS[:2], "val")
    (tmp_path / "classes.txt").unlink()
    (tmp_path / "data.yaml").write_text(f"train: ../train/images\nnc: 2\nnames: {names}")
    data = YoloLabels(tmp_path)
    assert data.sizes() == {"train": 5, "validation": 2} and data.facts()["class_names"] == ["square", "disc"]
    (tmp_path / "data.yaml").write_text("names: 2")
    with pytest.raises(ValueError, match=r"data.yaml does not give names of classes \('names' is no list"):
        YoloLabels(tmp_path).sizes()
    (tmp_path / "data.yaml").write_text("names: !!python/object/apply:os.system [ls]")
    with pytest.raises(ValueError, match=r"data.yaml does not give names of classes \("):
        YoloLabels(tmp_path).sizes()


def test_classes_without_names_are_their_numbers_unless_given(tmp_path: Path) -> None:
    folder = write_yolo(tmp_path, X, THINGS)
    (folder / "classes.txt").unlink()
    assert YoloLabels(folder).facts()["class_names"] == ["0", "1"]
    given = YoloLabels(folder, classes=["square", "disc"])
    assert given.facts()["class_names"] == ["square", "disc"] and given.hints() == []
    np.testing.assert_array_equal(given.labels("train"), YoloLabels(folder).labels("train"))


def test_images_without_labels_have_no_boxes_and_are_counted(tmp_path: Path) -> None:
    folder = write_yolo(tmp_path, X, THINGS)
    (folder / "labels/001.txt").unlink()
    (folder / "labels/002.txt").write_text("\n")
    data = YoloLabels(folder)
    assert {*data.labels("train")[1:3, :, 4].flat} == {-1}
    (line,) = data.hints()
    assert line.startswith("YoloLabels: 1 of 5 images have no file of labels") and "001.png" in line


@pytest.mark.parametrize(
    "line", ["0 .5 .5 .1", "0 .5 .5 .1 .1 .9", "cat .5 .5 .1 .1", "0 .5 .5 .1 x", "-1 .5 .5 .1 .1"]
)
def test_lines_that_are_no_boxes_are_named(line: str, tmp_path: Path) -> None:
    folder = write_yolo(tmp_path, X, THINGS)
    (folder / "labels/003.txt").write_text(f"0 .5 .5 .1 .1\n\n{line}\n")
    with pytest.raises(
        ValueError, match=r"labels/003.txt:3: is no line 'class x y width height': '.*'. Correct"
    ) as caught:
        YoloLabels(folder).sizes()
    assert "\n" not in str(caught.value)


def test_faulty_boxes_are_counted_by_their_lines(tmp_path: Path) -> None:
    folder = write_yolo(tmp_path, X, THINGS)
    (folder / "labels/003.txt").write_text("0 .5 .5 .1 .1\n0 16 12 4 4\n7 .5 .5 .1 .1\n1 .5 .5 -.1 nan\n")
    (line,) = YoloLabels(folder).hints()
    file = folder / "labels/003.txt"
    for text in (f"1 outside the image (first: {file}, line 2)", f"listed (first: {file}, line 3)", "3 of "):
        assert text in line
    (folder / "labels/099.txt").write_text("")
    with pytest.raises(ValueError, match=r"099.txt has no image .*images/099.\*"):
        YoloLabels(folder).sizes()
