"""Region proposals: segments are merged by likeness, things get a box, boxes are few and distinct."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from PIL import Image

from dltool.data import region_proposals
from dltool.data.region_proposals import ALIKE, propose
from tests.overlaps import iou_of

THINGS = [(10, 8, 34, 30, (200, 40, 40)), (50, 12, 84, 44, (30, 60, 190)), (20, 46, 40, 60, (20, 160, 60))]


@pytest.fixture(scope="module")
def picture() -> np.ndarray:
    pixels = np.full((64, 96, 3), 220, np.uint8)
    for x0, y0, x1, y1, color in THINGS:
        pixels[y0:y1, x0:x1] = color
    noise = np.random.default_rng(0).integers(-8, 9, pixels.shape)
    return np.clip(pixels + noise, 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def boxes(picture: np.ndarray) -> np.ndarray:
    return propose(picture)


def test_every_thing_has_a_box(boxes: np.ndarray) -> None:
    for *corners, _ in THINGS:
        assert max(iou_of(corners, box) for box in boxes) > 0.7


def test_boxes_are_distinct_and_lie_in_the_image(boxes: np.ndarray) -> None:
    assert boxes.dtype == np.float32 and len(boxes) > 3
    assert (boxes[:, :2] >= 0).all() and (boxes[:, 2:] <= [96, 64]).all()
    assert ((boxes[:, 2:] - boxes[:, :2]) >= region_proposals.SHORTEST).all()
    overlaps = region_proposals.iou(boxes, boxes)
    assert overlaps[~np.eye(len(boxes), dtype=bool)].max() < ALIKE
    np.testing.assert_allclose(overlaps[:5, :5], [[iou_of(one, other) for other in boxes[:5]] for one in boxes[:5]])


def test_fewer_boxes_are_the_first_of_more(picture: np.ndarray, boxes: np.ndarray) -> None:
    np.testing.assert_array_equal(propose(picture, most=3), boxes[:3])


def test_the_most_alike_neighbours_are_merged_first() -> None:
    """Four bars side by side: two dark ones in the middle, grey on the left, bright on the right."""
    labels = np.repeat([[0, 1, 2, 3]], 8, axis=0).repeat(5, axis=1)  # (8, 20)
    pixels = np.array([0.5, 0.1, 0.1, 0.9])[labels][..., np.newaxis].repeat(3, axis=-1)
    texture = np.zeros((1, labels.size), int)
    found = region_proposals._hierarchy(pixels, texture, labels)
    bars = [[0, 0, 5, 8], [5, 0, 10, 8], [10, 0, 15, 8], [15, 0, 20, 8]]
    np.testing.assert_array_equal(found[:5], [*bars, [5, 0, 15, 8]])
    assert found[5].tolist() in ([0, 0, 15, 8], [5, 0, 20, 8]) and found[6].tolist() == [0, 0, 20, 8]
    assert len(found) == 7


def test_likeness_is_that_of_the_paper() -> None:
    histograms = np.array([[0.5, 0.5, 1.0, 0.0], [0.25, 0.75, 0.5, 0.5]])
    two = np.array([[0, 0, 2, 3], [2, 1, 4, 2]])
    regions = region_proposals._Regions(two, np.array([6.0, 2.0]), histograms)
    # colours 0.25 + 0.5, textures 0.5, sizes 1 - 8 / 20, the box around both has 4 * 3 pixels: 1 - (12 - 8) / 20
    assert regions.likeness(0, np.array([1]), 20) == pytest.approx([0.75 + 0.5 + 0.6 + 0.8])


def test_without_scikit_image_the_remedy_is_named(picture: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "skimage.color", None)
    with pytest.raises(ImportError, match=r"pip install 'dltool\[proposals\]'"):
        propose(picture)


@pytest.mark.data
def test_cells_are_among_the_proposals() -> None:
    from dltool.library.datasets.bccd import Bccd

    part = Bccd(image_size=[240, 320])._part("test")
    found = total = 0
    for index in range(0, len(part.images), 12):
        with Image.open(part.images[index]) as image:
            small = np.asarray(image.convert("RGB").resize((320, 240), Image.Resampling.BILINEAR))
        truth = part.boxes[part.ends[index] : part.ends[index + 1], :4]
        best = region_proposals.iou(truth, propose(small)).max(axis=1)
        found, total = found + int((best >= 0.5).sum()), total + len(truth)
    assert found / total > 0.9
