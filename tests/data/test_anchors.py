"""Typical sizes of boxes: k-means under IoU against every possible grouping, and its properties."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import pytest

from dltool.data import anchors
from dltool.data.anchors import find_anchors, iou_of_sizes


def slow_iou(a: np.ndarray, b: np.ndarray) -> float:
    shared = min(a[0], b[0]) * min(a[1], b[1])
    return float(shared / (a[0] * a[1] + b[0] * b[1] - shared))


def quality(sizes: np.ndarray, centres: Sequence[np.ndarray] | np.ndarray) -> float:
    return float(np.mean([max(slow_iou(size, centre) for centre in centres) for size in sizes]))


def test_iou_of_sizes_is_that_of_boxes_with_one_corner_in_common() -> None:
    draw = np.random.default_rng(0)
    a, b = draw.uniform(1, 9, (7, 2)), draw.uniform(1, 9, (4, 2))
    np.testing.assert_allclose(iou_of_sizes(a, b), [[slow_iou(one, other) for other in b] for one in a])


@pytest.mark.parametrize("seed", range(4))
def test_no_grouping_of_few_boxes_is_much_better(seed: int) -> None:
    """Against the best of all ways to put 7 boxes into 3 groups, each with its mean size."""
    sizes = np.random.default_rng(seed).uniform(2, 30, (7, 2))
    best = 0.0
    for groups in itertools.product(range(3), repeat=7):
        if set(groups) == {0, 1, 2} and groups[0] == 0:
            best = max(best, quality(sizes, [sizes[np.equal(groups, group)].mean(axis=0) for group in range(3)]))
    assert quality(sizes, find_anchors(sizes, 3)) > best - 0.02


def test_rounds_are_those_of_k_means_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """From boxes spread by area, box by box."""
    monkeypatch.setattr(anchors, "STARTS", 1)
    sizes = np.random.default_rng(1).lognormal(3, 0.4, (90, 2))
    centres = [sorted(sizes, key=np.prod)[place] for place in (15, 45, 75)]
    best = centres
    for _ in range(30):
        groups: list[list[np.ndarray]] = [[], [], []]
        for size in sizes:
            groups[max(range(3), key=lambda index: slow_iou(size, centres[index]))].append(size)
        centres = [sum(group) / len(group) for group in groups]
        best = max(best, centres, key=lambda one: quality(sizes, one))
    np.testing.assert_allclose(find_anchors(sizes, 3), sorted(best, key=np.prod))


def test_the_same_boxes_give_the_same_sizes_and_stretched_boxes_stretched_ones() -> None:
    sizes = np.random.default_rng(2).lognormal(3, 0.5, (200, 2))
    found = find_anchors(sizes, 3)
    np.testing.assert_array_equal(find_anchors(sizes, 3), found)
    stretched = find_anchors(sizes * [2, 0.5], 3)  # IoU does not change
    np.testing.assert_allclose(sorted(map(tuple, stretched)), sorted(map(tuple, found * [2, 0.5])))


def test_as_many_sizes_as_boxes_are_the_boxes(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = np.array([[9.0, 9.0], [3.0, 1.0], [1.0, 2.0], [1.0, 2.0]])
    np.testing.assert_array_equal(find_anchors(sizes, 3), [[1, 2], [3, 1], [9, 9]])
    with pytest.raises(ValueError, match="boxes have 3 different sizes, 4 are asked for: lower 'anchors'"):
        find_anchors(sizes, 4)
    monkeypatch.setattr(anchors, "MOST_BOXES", 50)
    many = np.repeat([[4.0, 4.0], [20.0, 10.0]], 5000, axis=0)
    np.testing.assert_array_equal(find_anchors(many, 2), [[4, 4], [20, 10]])
