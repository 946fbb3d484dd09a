"""PascalVoc and Bccd: parts, boxes in pixels of the resized image, and faults named by their files."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from dltool.library.datasets.bccd import ANCHORS, Bccd
from dltool.library.datasets.pascal_voc import PascalVoc
from tests.boxes import Things, boxed_images, write_voc

X, THINGS = boxed_images(7)
PARTS = {"train": [2, 0, 5], "val": [1, 3], "test": [6]}
NOTHING = [0, 0, 0, 0, -1, 0]


def expected(things: Things, most: int, classes: tuple[str, ...] = ("disc", "square")) -> np.ndarray:
    rows = [[*box, classes.index(name), 0] for name, box in things]
    return np.array(rows + [NOTHING] * (most - len(rows)), np.float32)


def test_boxes_are_padded_and_parts_are_those_of_the_lists(tmp_path: Path) -> None:
    write_voc(tmp_path / "data" / "VOC", X, THINGS, PARTS)
    archive = shutil.make_archive(str(tmp_path / "packed"), "zip", tmp_path / "data")
    for path in (tmp_path / "data", tmp_path / "data" / "VOC", Path(archive)):
        data = PascalVoc(path)
        assert data.sizes() == {"train": 3, "validation": 2, "test": 1}
        examples = data.read("train")
        np.testing.assert_array_equal(examples.x, X[[2, 0, 5]])
        assert examples.y.dtype == np.float32
        np.testing.assert_array_equal(examples.y, [expected(THINGS[index], 3) for index in (2, 0, 5)])
    facts = {"input_shape": (24, 32, 3), "num_classes": 2, "class_names": ["disc", "square"], "max_boxes": 3}
    assert data.facts() == facts and data.hints() == []
    np.testing.assert_array_equal(data.class_counts("train"), [2, 5])  # of 3, 1 and 3 boxes: the second is a disc
    assert data.origins("validation")[1] == [f"VOC/JPEGImages/00{n}.png" for n in (1, 3)]


def test_boxes_are_resized_with_their_images(tmp_path: Path) -> None:
    data = PascalVoc(write_voc(tmp_path, X, THINGS), image_size=[12, 96], classes=["square", "disc"])
    examples = data.read("train")  # all is train where there are no lists
    assert examples.x.shape == (7, 12, 96, 3)
    boxes = [expected(own, 3, ("square", "disc")) * [3, 0.5, 3, 0.5, 1, 1] for own in THINGS]
    np.testing.assert_array_equal(examples.y, boxes)


@pytest.mark.data
def test_bccd_has_the_boxes_of_its_description() -> None:
    data = Bccd(anchors=5)
    assert data.sizes() == {part: len(data.labels(part)) for part in ("train", "validation", "test")}
    counts = {part: data.class_counts(part).tolist() for part in data.sizes()}
    # 2,382 and 968 red cells less one box without area each
    assert counts == {"train": [2381, 214, 209], "validation": [967, 87, 83], "test": [805, 71, 69]}
    facts = data.facts()
    data._is_missing = True
    assert data.facts() == facts and facts["anchors"] == [list(anchor) for anchor in ANCHORS[5]]
    assert data.hints() == [] and "2 of 4,888 boxes are left out" in PascalVoc(data.path).hints()[0]
    half = Bccd(image_size=[240, 320], anchors=5)
    facts = half.facts()
    half._is_missing = True
    np.testing.assert_allclose(half.facts()["anchors"], facts["anchors"], atol=0.011)
    assert half.read("test").y[..., 2].max() == 320
