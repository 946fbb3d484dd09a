"""Regions of an image that may be things: segments, merged step by step by how alike they look."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

REMEDY = "Region proposals need scikit-image: pip install 'dltool[proposals]'"
SCALES = (20.0, 100.0)  # of the first segmentation: larger ones give larger segments
COLORS = ("hsv", "lab", "rgb")  # spaces that segments are found and compared in
SIGMA, SMALLEST = 0.8, 50  # of the blur before, and pixels of a segment
COLOR_BINS, TEXTURE_BINS, ORIENTATIONS = 25, 10, 8
ALIKE = 0.7  # IoU from which on a box says nothing new: few boxes then find more things
SHORTEST = 12  # pixels of a side of a box


def propose(
    image: np.ndarray, most: int = 500, scales: Sequence[float] = SCALES, colors: Sequence[str] = COLORS
) -> np.ndarray:
    """Return boxes that may hold a thing, by selective search.

    A graph of pixels is cut into segments (Felzenszwalb & Huttenlocher, 2004), at each scale and in each colour space.
    Then the two neighbours that are most alike are merged, over and over, until one is left; the box of every segment
    on the way is a proposal. They are alike by

        s(a, b) = sum of min(colour_a, colour_b) + sum of min(texture_a, texture_b)
                  + (1 - (size_a + size_b) / size) + (1 - (size of the box around both - size_a - size_b) / size)

    with histograms that add up to 1. Late merges come first, in an order that is drawn, as in the paper; boxes that are
    nearly one of those before are left out. The same image always gives the same boxes.

    Args:
        image: uint8 (rows, columns, 3).
        most: boxes at most.
        scales, colors: of the segmentations.
    Returns:
        float32 (boxes, 4): x_min, y_min, x_max, y_max in pixels.
    Raises:
        ImportError: scikit-image is missing.
    Limits: 0.8 s for an image of 240x320 on one core.
    Reference: Uijlings, van de Sande, Gevers & Smeulders, 2013, Selective search for object recognition, IJCV 104,
        154-171.
    """
    draw = np.random.default_rng(0)
    boxes, order = [], []
    for color in colors:
        pixels = _in_space(image, color)
        texture = _texture_bins(pixels)
        for scale in scales:
            own = _hierarchy(pixels, texture, _segments(pixels, scale))[::-1]  # the whole image comes first
            boxes.append(own)
            order.append(draw.random(len(own)) * np.arange(1, len(own) + 1))
    found = np.concatenate(boxes)[np.argsort(np.concatenate(order), kind="stable")]
    found = found[((found[:, 2:] - found[:, :2]) >= SHORTEST).all(axis=1)]
    return _distinct(found.astype(np.float32), most)


def _in_space(image: np.ndarray, color: str) -> np.ndarray:
    """Return an image in a colour space, float64 (rows, columns, 3) in 0..1."""
    try:
        from skimage.color import rgb2hsv, rgb2lab
    except ImportError as error:
        raise ImportError(REMEDY) from error
    if color == "lab":
        return np.asarray((rgb2lab(image) + [0, 128, 128]) / [100, 255, 255])
    return np.asarray(rgb2hsv(image) if color == "hsv" else image / 255.0)


def _segments(pixels: np.ndarray, scale: float) -> np.ndarray:
    from skimage.segmentation import felzenszwalb

    return np.asarray(felzenszwalb(pixels, scale=scale, sigma=SIGMA, min_size=SMALLEST, channel_axis=-1))


def _texture_bins(pixels: np.ndarray) -> np.ndarray:
    """Return which bin the slope of each pixel is in, int (channels * orientations, rows * columns)."""
    from scipy.ndimage import gaussian_filter

    angles = 2 * np.pi * np.arange(ORIENTATIONS) / ORIENTATIONS
    bins = []
    for channel in np.moveaxis(pixels, -1, 0):
        down, across = gaussian_filter(channel, 1.0, (1, 0)), gaussian_filter(channel, 1.0, (0, 1))
        for angle in angles:
            slope = np.maximum(across * np.cos(angle) + down * np.sin(angle), 0)
            top = max(float(slope.max()), 1e-12)
            bins.append(np.minimum((slope / top * TEXTURE_BINS).astype(int), TEXTURE_BINS - 1).reshape(-1))
    return np.stack(bins)


@dataclass
class _Regions:
    """Segments and what is known of them; merged ones are added at the end.

    Args:
        boxes: x_min, y_min, x_max, y_max, int (regions, 4).
        sizes: in pixels, (regions,).
        histograms: of colours and textures, each kind adding up to 1, (regions, bins).
    """

    boxes: np.ndarray
    sizes: np.ndarray
    histograms: np.ndarray

    def merge(self, one: int, other: int, new: int) -> None:
        """Put the union of two regions at place `new`."""
        self.boxes[new] = [*np.minimum(self.boxes[one, :2], self.boxes[other, :2]),
                           *np.maximum(self.boxes[one, 2:], self.boxes[other, 2:])]  # fmt: skip
        self.sizes[new] = self.sizes[one] + self.sizes[other]
        shares = self.sizes[[one, other]] / self.sizes[new]
        self.histograms[new] = shares @ self.histograms[[one, other]]

    def likeness(self, one: int, others: np.ndarray, whole: int) -> np.ndarray:
        """Return how alike a region and each of some others are."""
        shared = np.minimum(self.histograms[one], self.histograms[others]).sum(axis=1)
        sizes = self.sizes[one] + self.sizes[others]
        low = np.minimum(self.boxes[one, :2], self.boxes[others, :2])
        high = np.maximum(self.boxes[one, 2:], self.boxes[others, 2:])
        return np.asarray(shared + 2 - sizes / whole - ((high - low).prod(axis=1) - sizes) / whole)


def _hierarchy(pixels: np.ndarray, texture: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return the boxes of segments and of all their unions on the way to one, int (regions, 4)."""
    count, whole = int(labels.max()) + 1, labels.size
    regions = _described(pixels, texture, labels, count)
    neighbours = _neighbours(labels, count)
    heap = [
        (-value, one, int(other))
        for one, own in enumerate(neighbours)
        for other, value in _later(regions, one, own, whole)
    ]
    heapq.heapify(heap)
    new = count
    while heap:
        _, one, other = heapq.heappop(heap)
        if not neighbours[one] or not neighbours[other] or other not in neighbours[one]:
            continue  # one of them is part of another by now
        regions.merge(one, other, new)
        around = (neighbours[one] | neighbours[other]) - {one, other}
        for old in (one, other):
            for near in neighbours[old]:
                neighbours[near].discard(old)
            neighbours[old] = set()
        neighbours.append(around)
        if around:
            others = np.array(sorted(around))
            for near, value in zip(others.tolist(), regions.likeness(new, others, whole).tolist(), strict=True):
                neighbours[near].add(new)
                heapq.heappush(heap, (-value, near, new))
        new += 1
    return regions.boxes[:new]


def _later(regions: _Regions, one: int, neighbours: set[int], whole: int) -> Iterator[tuple[int, float]]:
    """Yield the neighbours of a region that come after it, and how alike they are."""
    others = np.array(sorted(other for other in neighbours if other > one), int)
    if len(others):
        yield from zip(others.tolist(), regions.likeness(one, others, whole).tolist(), strict=True)


def _described(pixels: np.ndarray, texture: np.ndarray, labels: np.ndarray, count: int) -> _Regions:
    from scipy.ndimage import find_objects

    flat = labels.reshape(-1)
    sizes = np.bincount(flat, minlength=count).astype(float)
    colors = np.minimum((pixels * COLOR_BINS).astype(int), COLOR_BINS - 1).reshape(-1, pixels.shape[-1]).T
    histograms = []
    for bins, kinds in ((COLOR_BINS, colors), (TEXTURE_BINS, texture)):
        for values in kinds:
            counted = np.bincount(flat * bins + values, minlength=count * bins).reshape(count, bins)
            histograms.append(counted / (sizes[:, np.newaxis] * len(kinds)))
    slices = find_objects(labels + 1)
    boxes = np.array([[across.start, down.start, across.stop, down.stop] for down, across in slices])
    more = count - 1  # unions
    table = np.concatenate(histograms, axis=1)
    return _Regions(
        np.concatenate([boxes, np.zeros((more, 4), boxes.dtype)]),
        np.concatenate([sizes, np.zeros(more)]),
        np.concatenate([table, np.zeros((more, table.shape[1]))]),
    )


def _neighbours(labels: np.ndarray, count: int) -> list[set[int]]:
    """Return the segments that touch each segment."""
    found: list[set[int]] = [set() for _ in range(count)]
    pairs = [(labels[:, :-1], labels[:, 1:]), (labels[:-1], labels[1:])]
    touching = np.concatenate([np.stack([a[a != b], b[a != b]], axis=1) for a, b in pairs])
    for one, other in np.unique(touching, axis=0).tolist():
        found[one].add(other)
        found[other].add(one)
    return found


def _distinct(boxes: np.ndarray, most: int) -> np.ndarray:
    """Return the first boxes that are not nearly one of those before."""
    kept: list[np.ndarray] = []
    table = np.empty((most, 4), np.float32)
    for box in boxes:
        if len(kept) == most:
            break
        if not kept or iou(box[np.newaxis], table[: len(kept)]).max() < ALIKE:
            table[len(kept)] = box
            kept.append(box)
    return table[: len(kept)].copy()


def iou(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return the intersection over union of two lists of boxes, (boxes, others)."""
    low = np.maximum(boxes[:, np.newaxis, :2], others[:, :2])
    high = np.minimum(boxes[:, np.newaxis, 2:], others[:, 2:])
    shared = np.clip(high - low, 0, None).prod(axis=-1)
    areas = [(one[:, 2:] - one[:, :2]).prod(axis=-1) for one in (boxes, others)]
    return np.asarray(shared / np.maximum(areas[0][:, np.newaxis] + areas[1] - shared, 1e-12))
