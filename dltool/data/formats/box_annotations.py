"""Boxes around things in images, as annotation files give them, and what is wrong with them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

NO_AREA, NOT_FINITE, OUTSIDE, UNKNOWN, BEYOND = (
    "whose width or height is not positive",
    "of coordinates that are no finite numbers",
    "outside the image",
    "of classes that are not listed",
    "that reach beyond the image",
)
TOLERANCE = 1.0  # pixels beyond the image that are clipped in silence: tools count pixels from 0 or 1, and round


@dataclass(frozen=True)
class Annotation:
    """The boxes of an image as a file gives them.

    Args:
        image: path of the image.
        source: path of the file of annotations.
        boxes: float64 (boxes, 4): x_min, y_min, x_max, y_max in pixels of the image.
        names: the class of each box.
        ignored: bool (boxes,): which ones neither count for nor against a model.
        size: (rows, columns) of the image as the annotations give it, None where they do not.
        word: what `source` calls a box: "object", "annotation" or "line".
        numbers: by which `source` is searched for a box, int (boxes,); None: 1, 2, ...
        relative: whether boxes are in shares of the image's width and height.
    """

    image: str
    source: str
    boxes: np.ndarray
    names: Sequence[str]
    ignored: np.ndarray
    size: tuple[int, int] | None = None
    word: str = "object"
    numbers: Sequence[int] | None = None
    relative: bool = False

    def place(self, index: int) -> str:
        """Return where a box stands, for messages."""
        number = index + 1 if self.numbers is None else self.numbers[index]
        return f"{self.source}, {self.word} {number}"


@dataclass
class Faults:
    """Counts of faulty boxes by what is wrong with them, and the first place of each kind."""

    boxes: int = 0
    counts: dict[str, int] = field(default_factory=dict)
    first: dict[str, str] = field(default_factory=dict)

    def add(self, kind: str, count: int, place: str) -> None:
        """Count some boxes of one kind."""
        self.counts[kind] = self.counts.get(kind, 0) + count
        self.first.setdefault(kind, place)

    def lines(self, title: str) -> list[str]:
        """Return one line on the boxes left out and one on those clipped, each where there are some."""
        dropped = {kind: count for kind, count in self.counts.items() if kind != BEYOND}
        lines = []
        if dropped:
            kinds = ", ".join(f"{count:,} {kind} (first: {self.first[kind]})" for kind, count in dropped.items())
            left = "is left out" if sum(dropped.values()) == 1 else "are left out"
            lines.append(
                f"{title}: {sum(dropped.values()):,} of {self.boxes:,} boxes {left}: {kinds}. Set faulty: refuse to "
                "stop at them."
            )
        if BEYOND in self.counts:
            verb = "box reaches" if self.counts[BEYOND] == 1 else "boxes reach"
            lines.append(
                f"{title}: {self.counts[BEYOND]:,} {verb} beyond the image and {'is' if verb[3] == ' ' else 'are'} "
                f"clipped (first: {self.first[BEYOND]}). Set faulty: refuse to stop at them."
            )
        return lines


def in_order(
    annotation: Annotation, size: tuple[int, int], classes: dict[str, int], faults: Faults, refuse: bool
) -> np.ndarray:
    """Return the boxes that are in order, float32 (boxes, 6), in pixels of the image, clipped to it.

    Columns are x_min, y_min, x_max, y_max, the index of the class and 1 for boxes that are ignored, else 0.

    Args:
        annotation: of the image.
        size: (rows, columns) of the image.
        classes: index by name.
        faults: counts those that are not in order.
        refuse: whether to raise at the first of them.
    Raises:
        ValueError: a box is not in order and `refuse` is set.
    """
    rows, columns = size
    boxes = annotation.boxes * np.tile([columns, rows], 2) if annotation.relative else annotation.boxes
    faults.boxes += len(boxes)
    clipped = np.clip(boxes, 0.0, np.tile([columns, rows], 2).astype(float))
    remaining = np.ones(len(boxes), bool)
    for kind, wrong in _wrong(annotation, boxes, clipped, classes):
        wrong &= remaining
        if not wrong.any():
            continue
        first = int(np.argmax(wrong))
        if refuse:
            corners = ", ".join(f"{value:g}" for value in boxes[first])
            raise ValueError(
                f"{annotation.place(first)}: the box [{corners}] of class '{annotation.names[first]}' is one {kind}; "
                f"the image has {rows} x {columns} pixels (rows x columns). Correct or remove it, or set faulty: drop."
            )
        faults.add(kind, int(wrong.sum()), annotation.place(first))
        if kind != BEYOND:
            remaining &= ~wrong
    indices = np.array([classes.get(name, -1) for name in annotation.names], np.float32)
    rows6 = np.column_stack([clipped, indices, annotation.ignored]).astype(np.float32)
    return np.asarray(rows6.reshape(-1, 6)[remaining])


def _wrong(
    annotation: Annotation, boxes: np.ndarray, clipped: np.ndarray, classes: dict[str, int]
) -> Iterator[tuple[str, np.ndarray]]:
    """Yield kinds of faults and which boxes have them, bool (boxes,)."""
    if not len(boxes):
        return
    yield NOT_FINITE, ~np.isfinite(boxes).all(axis=1)
    yield NO_AREA, np.any(boxes[:, 2:] <= boxes[:, :2], axis=1)
    yield OUTSIDE, np.any(clipped[:, 2:] <= clipped[:, :2], axis=1)
    yield UNKNOWN, np.array([name not in classes for name in annotation.names])
    yield BEYOND, (np.abs(boxes - clipped) > TOLERANCE).any(axis=1)
