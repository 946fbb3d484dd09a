"""CocoJson: boxes of one JSON file, crowds, parts, and faults in one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dltool.library.datasets.coco_json import CocoJson
from dltool.library.datasets.pascal_voc import PascalVoc
from tests.boxes import boxed_images, write_coco, write_voc

X, THINGS = boxed_images(5)


def test_the_same_boxes_are_read_from_json_as_from_xml(tmp_path: Path) -> None:
    data = CocoJson(write_coco(tmp_path / "coco", X, THINGS), anchors=2)
    other = PascalVoc(write_voc(tmp_path / "voc", X, THINGS), classes=["square", "disc"], anchors=2)
    assert data.facts() == other.facts()  # categories in the order of their numbers
    for ours, theirs in zip(vars(data.read("train")).values(), vars(other.read("train")).values(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert CocoJson(data.path, classes=["disc"]).class_counts("train").tolist() == [3]


def test_parts_have_files_of_their_own(tmp_path: Path) -> None:
    for part, count in (("train", 3), ("val", 2)):
        write_coco(tmp_path / part, X[:count], THINGS[:count])
    (tmp_path / "lists").mkdir()
    for part in ("train", "val"):
        (tmp_path / part / "annotations.json").rename(tmp_path / f"lists/{part}-boxes.json")
    data = CocoJson(tmp_path, images="{part}/images", annotations="lists/{part}-boxes.json")
    assert data.sizes() == {"train": 3, "validation": 2}
    with pytest.raises(ValueError, match="has no folder 'images' with a file 'annotations.json'"):
        CocoJson(tmp_path).sizes()


def test_crowds_are_ignored_kept_or_left_out(tmp_path: Path) -> None:
    rle = {"counts": [3, 4, 5], "size": [24, 32]}
    row = {"id": 7, "image_id": 100, "category_id": 3, "bbox": [1.5, 2, 3, 4], "iscrowd": 1, "segmentation": rle}
    folder = write_coco(tmp_path, X[:1], THINGS[:1], annotations=[row])
    for way, ignored in [("ignore", [1]), ("keep", [0]), ("drop", [])]:
        boxes = CocoJson(folder, crowd=way).labels("train")[0]
        expected = np.reshape([[1.5, 2, 4.5, 6, 0, one] for one in ignored], (-1, 6))
        np.testing.assert_array_equal(boxes[boxes[:, 4] >= 0], expected)


def row(**changes: Any) -> dict[str, Any]:
    return {"id": 9, "image_id": 100, "category_id": 3, "bbox": [1, 2, 3, 4]} | changes


IMAGE = {"id": 100, "file_name": "000.png", "height": 24, "width": 32}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"annotations": [row(image_id=5)]}, "annotation 9 is of image 5, which is not listed"),
        ({"annotations": [row(image_id=[5])]}, "is no annotation file of COCO"),
        ({"annotations": [row(category_id=4)]}, "annotation 9 is of category 4, which is not listed"),
        ({"annotations": [row(bbox=[1, 2, "3", 4])]}, "annotation 9: bbox is [1, 2, '3', 4], not four numbers"),
        ({"annotations": [row(iscrowd=2)]}, "annotation 9: iscrowd is 2, not 0 or 1"),
        ({"annotations": [{}]}, "an annotation has the id None"),
        ({"annotations": 7}, "'annotations' is no list of objects"),
        ({"images": [IMAGE | {"file_name": "../000.png"}]}, "the file_name '../000.png', no name within"),
        ({"images": [IMAGE | {"file_name": "/etc/passwd"}]}, "the file_name '/etc/passwd', no name within"),
        ({"images": [IMAGE | {"file_name": "9.png"}], "annotations": []}, "images/9.png, which is not there: add it"),
        ({"images": [IMAGE, IMAGE]}, "two images have one 'id'"),
        ({"images": [], "annotations": []}, "lists no images"),
        (
            {"categories": [{"id": 1, "name": "a"}, {"id": 2, "name": "a"}]},
            "two categories have one 'id' or one 'name'",
        ),
        ({"images": [IMAGE | {"width": 33}]}, "is of an image of 24 x 33"),
    ],
)
def test_broken_files_are_one_line_that_names_the_file(changes: Any, message: str, tmp_path: Path) -> None:
    data = CocoJson(write_coco(tmp_path, X[:1], THINGS[:1], **changes))
    with pytest.raises(ValueError) as caught:
        data.sizes()
    assert message in str(caught.value) and "annotations.json" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "[]", "[" * 200_000, '{"images": [', "\xff"])
def test_what_is_no_json_object_is_one_line(text: str, tmp_path: Path) -> None:
    folder = write_coco(tmp_path, X[:1], THINGS[:1])
    (folder / "annotations.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(ValueError, match=r"annotations.json is no annotation file of COCO \(.*\): correct") as caught:
        CocoJson(folder).sizes()
    assert "\n" not in str(caught.value)


def test_numbers_that_are_no_numbers_are_faulty_boxes(tmp_path: Path) -> None:
    folder = write_coco(tmp_path, X[:1], THINGS[:1], annotations=[row(), row(id=10, bbox=[1, 2, 3, -4])])
    text = json.dumps(json.loads((folder / "annotations.json").read_text()))
    (folder / "annotations.json").write_text(text.replace("[1, 2, 3, 4]", "[NaN, 2, 1e999, 4]"))
    (line,) = CocoJson(folder).hints()
    assert "2 of 2 boxes are left out: 1 of coordinates that are no finite numbers" in line
    assert "annotations.json, annotation 10)" in line
