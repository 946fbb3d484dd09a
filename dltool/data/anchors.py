"""Typical sizes of boxes, from which a detector measures the boxes that it gives."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

MOST_BOXES = 20_000  # more are thinned out evenly: the centres of so many do not change by a pixel
STARTS, ROUNDS = 10, 100


def find_anchors(sizes: np.ndarray, count: int) -> np.ndarray:
    """Return typical sizes of boxes: k-means under the distance 1 - IoU of boxes with one corner in common.

    Each of several starts moves the centres to the mean sizes of the boxes nearest to them until no box changes its
    centre; the centres with the largest mean IoU of boxes with their nearest centre are returned. The same boxes always
    give the same sizes.

    Args:
        sizes: widths and heights in pixels, (boxes, 2), positive.
        count: how many sizes, int > 0.
    Returns:
        float64 (count, 2), sorted by area.
    Raises:
        ValueError: there are fewer different sizes than `count`.
    Reference: Redmon & Farhadi, 2017, YOLO9000: better, faster, stronger, CVPR, section 2.
    """
    sizes = np.asarray(sizes, float).reshape(-1, 2)
    if (distinct := len(np.unique(sizes, axis=0))) < count:
        raise ValueError(f"boxes have {distinct} different sizes, {count} are asked for: lower 'anchors'.")
    if len(sizes) > MOST_BOXES:
        sizes = sizes[np.linspace(0, len(sizes) - 1, MOST_BOXES).astype(int)]
    found = max((_settled(sizes, centres) for centres in _starts(sizes, count)), key=lambda one: one[0])[1]
    return found[np.argsort(found.prod(axis=1), kind="stable")]


def iou_of_sizes(sizes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return the IoU of boxes of two lists of sizes that have one corner in common, (sizes, others)."""
    shared = np.minimum(sizes[:, np.newaxis], others).prod(axis=-1)
    return np.asarray(shared / (sizes.prod(axis=-1)[:, np.newaxis] + others.prod(axis=-1) - shared))


def _starts(sizes: np.ndarray, count: int) -> Iterator[np.ndarray]:
    """Yield centres to start from: sizes spread evenly by area, then boxes drawn far from those drawn before."""
    by_area = sizes[np.argsort(sizes.prod(axis=1), kind="stable")]
    yield by_area[((np.arange(count) + 0.5) * len(sizes) / count).astype(int)]
    for seed in range(STARTS - 1):
        draw = np.random.default_rng(seed)
        centres = sizes[[draw.integers(len(sizes))]]
        while len(centres) < count:  # as k-means++ draws them
            distances = 1 - iou_of_sizes(sizes, centres).max(axis=1)
            distances = np.where(distances < 1e-12, 0.0, distances)
            centres = np.vstack([centres, sizes[draw.choice(len(sizes), p=distances / distances.sum())]])
        yield centres


def _settled(sizes: np.ndarray, centres: np.ndarray) -> tuple[float, np.ndarray]:
    """Return the best mean IoU with the nearest centre in the rounds of k-means, and its centres.

    Means do not maximise IoU, so that a round may be worse than the one before.
    """
    best, nearest = (0.0, centres), np.full(len(sizes), -1)
    for _ in range(ROUNDS):
        overlaps = iou_of_sizes(sizes, centres)
        now, quality = overlaps.argmax(axis=1), float(overlaps.max(axis=1).mean())
        best = max(best, (quality, centres), key=lambda one: one[0])
        if (now == nearest).all():
            break
        nearest = now
        for empty in set(range(len(centres))) - set(now.tolist()):  # takes the box that is farthest from its centre
            nearest[np.argmin(np.where(np.bincount(nearest)[nearest] > 1, overlaps.max(axis=1), 2.0))] = empty
        centres = np.stack([sizes[nearest == index].mean(axis=0) for index in range(len(centres))])
    return best
