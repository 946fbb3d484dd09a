"""Detection: boxes around the things in an image, each with its class."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dltool.data.box_rows import CORNERS, IGNORED, LABEL
from dltool.data.formats import image_headers
from dltool.errors import UsageError
from dltool.tasks import _average_precision as average_precision
from dltool.tasks import _outputs
from dltool.tasks._average_precision import SCORE, Boxes, Precision
from dltool.tasks.base import Asked, Judgement, Question, Split, Task

if TYPE_CHECKING:
    import pandas as pd

    from dltool.data.inputs.base import Batch
    from dltool.tasks.base import Answer

LEAST = 0.01  # score of boxes that are judged: precision is read over all recalls
DRAWN = 320  # pixels that the longer side of a training image is enlarged to
SIDES = ("x_min", "y_min", "x_max", "y_max")


@dataclass(frozen=True)
class Outcome:
    """What a detector found on a split.

    Args:
        model: compiled.
        split: the split.
        precision: over recall, for each class and IoU.
    """

    model: Any
    split: Split
    precision: Precision


class Detection(Task):
    """A model gives boxes around things and a score for each class.

    Targets are float32 (batch, max_boxes, 6): x_min, y_min, x_max, y_max in pixels of the image that the model sees,
    class (-1: padding), ignored (1: neither reward nor penalty, else 0). The model ends in a layer with a method
    `detections(outputs)` that gives boxes (batch, n, 4) or (batch, n, classes, 4) and scores (batch, n, classes), and
    with attributes `score_threshold`, `iou_threshold` and `max_boxes`.
    Facts: `input_shape`, `num_classes`, `class_names`, `max_boxes`; `anchors` if they are asked for.
    Figures: loss and compiled metrics; `map_50`, the mean over classes of average precision where a box is right from
    an IoU of 0.5 on; `map_50_95`, its mean over IoUs 0.5, 0.55, ..., 0.95. Classes without true boxes are left out.
    Tables: `classes`: average precision, recall of all boxes with a score of at least 0.01, true boxes.
    Reference: Everingham et al., 2010, The Pascal Visual Object Classes challenge; Lin et al., 2014, Microsoft COCO.
    """

    targets = "boxes"
    takes = frozenset({"folder"})

    # -- what fits ---------------------------------------------------------------------------------------

    def problem_of_outputs(self, model: Any, facts: Mapping[str, Any]) -> str | None:
        layer = detector(model)
        if layer is None:
            return "gives no boxes. End the model in a layer that does, such as YoloHead."
        asks: Callable[[Mapping[str, Any]], str | None] | None = getattr(layer, "problem_of_data", None)
        return None if asks is None else asks(facts)

    def problem_of_class_weight(self) -> str | None:
        return "boxes of one image have several classes: weigh them in the loss. Remove this."

    def augmentation(self, layers: Sequence[Any], facts: Mapping[str, Any]) -> Any:
        from dltool.tasks._moved_boxes import MovedBoxes

        return MovedBoxes(layers, tuple(facts["input_shape"]))

    # -- judging -----------------------------------------------------------------------------------------

    def judge(self, model: Any, split: Split) -> Judgement:
        names = [str(name) for name in split.trained["class_names"]]
        find, boxes = Finder(model, LEAST), Boxes()
        for y, kept in _outputs.batches_of(model, split.pipeline(), lambda outputs, _: find.suppress(outputs)):
            for truth, found in zip(np.asarray(y), rows_of(kept), strict=True):
                boxes.add(truth[truth[:, LABEL] >= 0], found)
        figures, table, precision = figures_of(boxes, names)
        figures = _outputs.current_figures(model) | figures
        counted = {"examples": len(boxes.truth)}
        return Judgement(
            split.run, split.shown, counted, figures, self, {"classes": table}, Outcome(model, split, precision)
        )

    def table_of_answers(self, judgements: Sequence[Judgement], asked: Asked) -> pd.DataFrame:
        """Return a row a box: its image, class, score, corners, and the largest IoU with a true box of its class.

        Corners are in pixels of the images that the model sees, as targets are.
        """
        import pandas as pd

        split: Split = judgements[0].outcome.split
        runs, models = zip(*((one.run, one.outcome.model) for one in judgements), strict=True)
        answer = self.answerer(Question(models, split.trained, asked, runs=runs))
        word, places = split.data.origins(split.name)
        names = {str(name): number for number, name in enumerate(split.trained["class_names"])}
        tables: list[pd.DataFrame] = []
        first = 0
        for x, y in split.pipeline().batches():
            some = places[first : first + len(x)]
            table = answer(x, some)
            examples = table.pop("example").to_numpy()
            labels = table["class"].map(names).to_numpy(int)
            seen, truth = table[list(SIDES)].to_numpy(), np.asarray(y)[examples]
            table["iou"] = [_best_iou(*one) for one in zip(seen, labels, truth, strict=True)]
            table[list(SIDES)] = np.round(seen, 2)
            table.insert(0, word, [some[number] for number in examples])
            table.insert(0, "index", first + examples)
            tables.append(table)
            first += len(x)
        return pd.concat(tables, ignore_index=True)

    # -- new examples ------------------------------------------------------------------------------------

    def answer_batch(self, answer: Answer, batch: Batch, word: str) -> pd.DataFrame:
        table = answer(batch.x, batch.places)
        examples = table.pop("example").to_numpy()
        corners = table[list(SIDES)].to_numpy()
        if batch.files is not None:
            rows, columns = batch.x.shape[1:3]
            sizes = np.array([image_headers.size(str(file)) for file in batch.files])
            scales = (sizes[:, ::-1] / [columns, rows])[examples]  # (boxes, 2), across and down
            corners = corners * np.tile(scales, 2)
        table[list(SIDES)] = np.round(corners, 2)
        table.insert(0, word, [batch.places[number] for number in examples])
        return table

    def answerer(self, question: Question) -> Answer:
        """Return a function that gives a row a box: `example`, `class`, `score`, corners in pixels of its inputs.

        With --out the boxes are drawn on the images.
        """
        if len(question.models) > 1:
            raise UsageError(f"boxes of several runs are not averaged ({', '.join(question.runs)}). Give one run.")
        import pandas as pd
        import tensorflow as tf

        (model,) = question.models
        names = [str(name) for name in question.facts["class_names"]]
        rows, columns = question.facts["input_shape"][:2]
        find, pictures = Finder(model), None
        if question.asked.folder is not None:
            from dltool.tasks._box_pictures import BoxPictures

            pictures = BoxPictures(question.asked.folder, question.asked.overwrite, names, question.asked.written)

        @tf.function(reduce_retracing=True, autograph=False)
        def forward(x: Any) -> Any:
            return find.suppress(_outputs.main_of(_outputs.outputs_of(model, x)))

        def answer(x: Any, places: Sequence[Any]) -> pd.DataFrame:
            found = rows_of(forward(x))
            for one in found:
                one[:, CORNERS] = np.clip(one[:, CORNERS], 0, [columns, rows, columns, rows])
            if pictures is not None:
                for place, image, one in zip(places, np.asarray(x), found, strict=True):
                    pictures.write(place, image, one)
            seen = np.concatenate(found) if found else np.zeros((0, 6))
            examples = np.repeat(np.arange(len(found)), [len(one) for one in found])
            table = pd.DataFrame({"example": examples, "class": [names[int(label)] for label in seen[:, LABEL]]})
            table["score"] = seen[:, SCORE].astype(np.float32)  # the digits that the model computes in
            table[list(SIDES)] = seen[:, CORNERS]
            table.attrs["examples"] = len(found)
            return table

        return answer

    def coco_results(self, rows: Sequence[Mapping[str, Any]], facts: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Return rows of answers as COCO's results: categories count from 1, an image's id is its name, or its number.

        Boxes are x, y, width, height in pixels.
        """
        categories = {str(name): number for number, name in enumerate(facts["class_names"], 1)}
        found = []
        for row in rows:
            name = Path(str(row["file"])).stem if "file" in row else str(row["row"])  # ROW or PATH:ROW
            x0, y0, x1, y1 = (row[side] for side in SIDES)
            found.append(
                {
                    "image_id": int(name) if name.isdecimal() else name,
                    "category_id": categories[row["class"]],
                    "bbox": [x0, y0, round(x1 - x0, 2), round(y1 - y0, 2)],
                    "score": row["score"],
                }
            )
        return found

    def drawn(self, picture: Any, target: Any, facts: Mapping[str, Any]) -> Any:
        """Return an image with its boxes; the first of each class has its name, ignored ones say so."""
        from dltool.output.boxes import draw_boxes

        rows = np.asarray(target)
        rows = rows[rows[:, LABEL] >= 0]
        classes = rows[:, LABEL].astype(int).tolist()
        labels = [str(facts["class_names"][one]) if classes.index(one) == n else "" for n, one in enumerate(classes)]
        labels = ["ignored" if row[IGNORED] else label for row, label in zip(rows, labels, strict=True)]
        pixels = picture[..., np.newaxis] if picture.ndim == 2 else picture
        return draw_boxes(pixels, rows[:, CORNERS], classes, labels, longest=DRAWN)

    def words(self, targets: Any, facts: Mapping[str, Any]) -> list[str] | None:
        """Return how many boxes of each class an image has: "17 RBC, 1 WBC"."""
        names = [str(name) for name in facts["class_names"]]
        found = []
        for labels in np.asarray(targets)[..., LABEL].astype(int):
            counts = np.bincount(labels[labels >= 0], minlength=len(names))
            found.append(", ".join(f"{count} {name}" for count, name in zip(counts, names, strict=True) if count))
        return found


class Finder:
    """Suppresses overlapping boxes of a detector's outputs, in the graph.

    Args:
        model: ends in a layer that gives boxes.
        least_score: in place of the layer's `score_threshold`.
    """

    def __init__(self, model: Any, least_score: float | None = None) -> None:
        layer = detector(model)
        if layer is None:
            raise ValueError("it has no layer that gives boxes")
        self.layer = layer
        self.least_score = layer.score_threshold if least_score is None else least_score

    def suppress(self, outputs: Any) -> Any:
        """Return the boxes that are left, `dltool.ops.boxes.Detections`."""
        from dltool.ops import boxes

        found, scores = self.layer.detections(outputs)
        return boxes.suppress(found, scores, self.least_score, self.layer.iou_threshold, self.layer.max_boxes)


def detector(model: Any) -> Any | None:
    """Return the last layer of a model that gives boxes, None without one."""
    layers = getattr(model, "layers", [])
    return next((layer for layer in reversed(layers) if hasattr(layer, "detections")), None)


def rows_of(kept: Any) -> list[np.ndarray]:
    """Return the boxes found in each image as rows: corners in pixels, class, score, float (boxes, 6)."""
    parts = [np.asarray(one) for one in (kept.boxes, kept.classes, kept.scores)]
    return [
        np.concatenate([box[:count], label[:count, None], score[:count, None]], axis=1)
        for box, label, score, count in zip(*parts, np.asarray(kept.count), strict=True)
    ]


def figures_of(boxes: Boxes, names: Sequence[str]) -> tuple[dict[str, float], pd.DataFrame, Precision]:
    """Return mean average precisions, a table of the classes, and precision over recall."""
    import pandas as pd

    precision = average_precision.measure(boxes, len(names))
    truth = np.concatenate([np.zeros((0, 6)), *boxes.truth])
    counts = np.bincount(truth[truth[:, IGNORED] == 0, LABEL].astype(int), minlength=len(names))
    columns = {
        "class": list(names),
        "ap_50": precision.of_classes(0),
        "ap_50_95": precision.of_classes(),
        "recall_50": np.where(precision.recall[0] < 0, np.nan, precision.recall[0]),
        "boxes": counts,
    }
    figures = {"map_50": precision.mean(0), "map_50_95": precision.mean()}
    return figures, pd.DataFrame(columns), precision


def _best_iou(box: np.ndarray, label: int, truth: np.ndarray) -> float:
    """Return the largest IoU of a box with a true one of its class, 0 without one."""
    own = truth[(truth[:, LABEL] == label) & (truth[:, IGNORED] == 0)]
    if not len(own):
        return 0.0
    sides = np.minimum(own[:, 2:4], box[2:4]) - np.maximum(own[:, :2], box[:2])
    common = np.maximum(sides, 0).prod(axis=1)
    area = (box[2] - box[0]) * (box[3] - box[1])
    union = (own[:, 2:4] - own[:, :2]).prod(axis=1) + area - common
    return float((common / np.maximum(union, 1e-9)).max())
