"""Average precision of detected boxes as COCO counts it, through faster-coco-eval."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

IOUS = np.linspace(0.5, 0.95, 10)  # at which a box is right
MOST = 100  # boxes of an image that count, the most certain ones
SCORE = 5  # the column of found boxes that takes the place of IGNORED


@dataclass
class Boxes:
    """True and found boxes of images, kept as rows: what is kept of an image is its boxes alone.

    Args:
        truth: of each image (boxes, 6): corners in pixels, class, ignored.
        found: of each image (boxes, 6): corners in pixels, class, score.
    """

    truth: list[np.ndarray] = field(default_factory=list)
    found: list[np.ndarray] = field(default_factory=list)

    def add(self, truth: np.ndarray, found: np.ndarray) -> None:
        """Add an image."""
        self.truth.append(np.asarray(truth, np.float64).reshape(-1, 6))
        self.found.append(np.asarray(found, np.float64).reshape(-1, 6))


@dataclass(frozen=True)
class Precision:
    """Precision of a detector.

    Args:
        precision: the largest at each of 101 recalls from 0 to 1 or beyond, (10 IoUs, 101, classes); -1 of classes
            without true boxes.
        scores: of the last box that is needed for each recall, likewise.
        recall: of all found boxes, (10 IoUs, classes); -1 likewise.
    """

    precision: np.ndarray
    scores: np.ndarray
    recall: np.ndarray

    def of_classes(self, iou: int | None = None) -> np.ndarray:
        """Return the average precision of each class, NaN without true boxes, (classes,).

        Args:
            iou: an index of `IOUS`; None: the mean over all.
        """
        values = self.precision.mean(axis=(0, 1)) if iou is None else self.precision[iou].mean(axis=0)
        return np.where(self.recall[0] < 0, np.nan, values)

    def mean(self, iou: int | None = None) -> float:
        """Return the mean over classes that have true boxes, NaN where none has."""
        values = self.of_classes(iou)
        known = values[~np.isnan(values)]
        return float(known.mean()) if len(known) else float("nan")


def measure(boxes: Boxes, classes: int) -> Precision:
    """Return the precision of found boxes; ignored ones count as COCO's crowds do.

    A found box of which the half lies in an ignored box of its class is neither right nor wrong.
    """
    from faster_coco_eval import COCO, COCOeval_faster

    images = [{"id": number, "width": 1, "height": 1} for number in range(1, len(boxes.truth) + 1)]
    categories = [{"id": number, "name": str(number)} for number in range(1, classes + 1)]
    datasets = []
    for rows, is_truth in ((boxes.truth, True), (boxes.found, False)):
        listed = [_annotation(number, row, is_truth) for number, own in enumerate(rows, 1) for row in own.tolist()]
        for number, annotation in enumerate(listed, 1):
            annotation["id"] = number
        datasets.append(COCO({"images": images, "categories": categories, "annotations": listed}))
    judge = COCOeval_faster(*datasets, iouType="bbox")
    judge.params.areaRng, judge.params.areaRngLbl, judge.params.maxDets = [[0, 1e10]], ["all"], [MOST]
    judge.evaluate()
    judge.accumulate()
    shape = (len(IOUS), 101, classes)
    found = judge.eval
    precision, scores = (np.asarray(found[name]).reshape(shape) for name in ("precision", "scores"))
    return Precision(precision, scores, np.asarray(found["recall"]).reshape(len(IOUS), classes))


def _annotation(image: int, row: Sequence[float], is_truth: bool) -> dict[str, object]:
    left, top, right, bottom, label, last = row
    wide, high = right - left, bottom - top
    own = {"image_id": image, "category_id": int(label) + 1, "bbox": [left, top, wide, high], "area": wide * high}
    return own | ({"iscrowd": int(last > 0)} if is_truth else {"score": last, "iscrowd": 0})
