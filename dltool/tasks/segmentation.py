"""Segmentation: the class of each pixel."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from dltool.tasks import _answers, _outputs
from dltool.tasks._mask_pictures import MaskPictures, colors_of, laid_over
from dltool.tasks.base import Asked, Judged, Judgement, Question, Split, Task
from dltool.training.outputs import BINARY, SPARSE, cross_entropy, outputs_problem

if TYPE_CHECKING:
    import pandas as pd

    from dltool.tasks.base import Answer


class Segmentation(Task):
    """A model gives scores of the classes for each pixel of an image, (batch, rows, columns, classes).

    Targets are int (batch, rows, columns); pixels of the void class have the index `num_classes`.
    Facts: `input_shape`, `num_classes`, `class_names`; `void`, the index of pixels that do not count, where there are
    such; `class_colors`, (red, green, blue) of each, where they are known.
    Figures: loss and compiled metrics; `pixel_accuracy`, the share of pixels that are right; `mean_accuracy`, that of
    each class, averaged; `mean_iou`, the mean over classes of intersection / union of true and predicted pixels, all
    over the pixels of the whole split that are not void, whatever the batch size. Classes that neither occur nor are
    predicted are left out of means.
    Tables: `classes`, `confusion` (pixels; rows: truth).
    Reference: Long, Shelhamer & Darrell, 2015, Fully convolutional networks for semantic segmentation, section 5.
    """

    targets = "masks"
    answers_in_one_pass = True
    takes = frozenset({"folder"})

    # -- what fits ---------------------------------------------------------------------------------------

    def problem_of_outputs(self, model: Any, facts: Mapping[str, Any]) -> str | None:
        shape = getattr(model, "output_shape", None)
        shape = shape[0] if isinstance(shape, list) else shape  # the main output comes first
        if not isinstance(shape, tuple):
            return None
        size = tuple(facts["input_shape"][:2])
        if len(shape) != 4:
            return f"gives outputs of shape {shape[1:]}; masks need (rows, columns, classes)."
        if any(own not in (None, wanted) for own, wanted in zip(shape[1:3], size, strict=True)):
            return f"gives masks of {shape[1]} x {shape[2]}, those of the data are {size[0]} x {size[1]}. Resize them."
        return outputs_problem(model, facts["num_classes"])

    def problem_of_loss(self, model: Any, facts: Mapping[str, Any]) -> str | None:
        from keras import losses

        loss = losses.get(model.loss) if isinstance(model.loss, str) else model.loss
        read, void = cross_entropy(model), facts.get("void")
        if void is None or read is None or read.targets != SPARSE or model.output_shape[-1] > void:
            return None
        if getattr(loss, "ignore_class", None) == void:
            return None
        return "counts void pixels, which have no output. Set ignore_class: ${data.void}."

    def augmentation(self, layers: Sequence[Any], facts: Mapping[str, Any]) -> Any:
        from dltool.tasks._moved_masks import MovedMasks

        return MovedMasks(layers, tuple(facts["input_shape"]), facts.get("void"))

    def weights(self, class_weights: Any, facts: Mapping[str, Any]) -> Any:
        return class_weights if facts.get("void") is None else np.append(class_weights, np.float32(0))

    def arguments(self, facts: Mapping[str, Any]) -> dict[str, Any]:
        if "mask_values" not in facts:
            return {}
        names = dict(zip(facts["mask_values"], facts["class_names"], strict=True))
        void = facts.get("void_value")
        names |= {} if void is None or void > max(names) else {void: "void"}
        return {"classes": [names[value] for value in sorted(names)], "void": void}

    # -- judging -----------------------------------------------------------------------------------------

    def judge(self, model: Any, split: Split) -> Judgement:
        classes, names = split.trained["num_classes"], split.trained["class_names"]
        counter = _Confusion(classes, cross_entropy(model))
        counts, examples = np.zeros((classes, classes), np.int64), 0
        for _, one in _outputs.batches_of(model, split.pipeline(), counter):
            examples += len(one)
            counts += np.asarray(one, np.int64).sum(axis=0).reshape(classes, classes)
        figures, table, matrix = figures_of(counts, names)
        tables = {"classes": table, "confusion": matrix}
        figures = _outputs.current_figures(model) | figures
        return Judgement(split.run, split.shown, {"examples": examples}, figures, self, tables, Judged(model, split))

    def table_of_answers(self, judgements: Sequence[Judgement], asked: Asked) -> pd.DataFrame:
        """Return a row an image: where it comes from, the answer, the pixels that count, and their figures."""
        import pandas as pd

        split: Split = judgements[0].outcome.split
        word, places = split.data.origins(split.name)
        models = [judgement.outcome.model for judgement in judgements]
        question = Question(models, split.trained, asked, runs=[judgement.run for judgement in judgements])
        predict, describe = self._masks(question), self._description(question)
        classes, first = split.trained["num_classes"], 0
        tables: list[pd.DataFrame] = []
        for x, y in split.pipeline().batches():
            masks = predict(x)
            some = places[first : first + len(masks)]
            first += len(masks)
            table = describe(x, some, masks)
            table.insert(0, word, some)
            counts = _count(np.asarray(y), masks, classes).numpy().reshape(-1, classes, classes)
            accuracy, iou = zip(*(_shares(one)[:2] for one in counts), strict=True)
            table["pixels"] = counts.sum(axis=(1, 2))
            table["pixel_accuracy"] = np.trace(counts, axis1=1, axis2=2) / np.maximum(table["pixels"], 1)
            table["mean_accuracy"], table["mean_iou"] = list(map(_mean, accuracy)), list(map(_mean, iou))
            tables.append(table)
        table = pd.concat(tables, ignore_index=True)
        table.insert(0, "index", range(len(table)))
        return table

    # -- new examples ------------------------------------------------------------------------------------

    def answerer(self, question: Question) -> Answer:
        """Return a function that gives a row a picture: the class of most pixels, the share of each, the mask's file.

        The file is there with --out.
        """
        predict, describe = self._masks(question), self._description(question)
        return lambda x, places: describe(x, places, predict(x))

    def _masks(self, question: Question) -> Callable[[Any], np.ndarray]:
        """Return a function of pictures that gives their masks, int (batch, rows, columns)."""
        asks = _answers.asks(question)
        confusion = _Confusion(question.facts["num_classes"], cross_entropy(question.models[0]))
        return lambda x: np.asarray(confusion.predicted(_answers.together([ask(x) for ask in asks]).outputs))

    def _description(self, question: Question) -> Callable[[Any, Sequence[Any], np.ndarray], pd.DataFrame]:
        """Return a function of pictures, their places and masks that gives rows of answers and writes the masks."""
        import pandas as pd

        asked, names = question.asked, [str(name) for name in question.facts["class_names"]]
        pictures = None
        if asked.folder is not None:
            pictures = MaskPictures(asked.folder, asked.overwrite, question.facts, asked.written)

        def describe(x: Any, places: Sequence[Any], masks: np.ndarray) -> pd.DataFrame:
            shares = np.stack([(masks == number).mean(axis=(1, 2)) for number in range(len(names))], axis=1)
            columns: dict[str, Any] = {"prediction": [names[one] for one in shares.argmax(axis=1)]}
            if pictures is not None:
                columns["mask"] = [pictures.write(*one) for one in zip(places, np.asarray(x), masks, strict=True)]
            return pd.DataFrame(columns | {f"share_{name}": shares[:, number] for number, name in enumerate(names)})

        return describe

    def drawn(self, picture: Any, target: Any, facts: Mapping[str, Any]) -> Any:
        """Return an image with its mask laid over it; void pixels show the image alone."""
        pixels = picture[..., np.newaxis] if picture.ndim == 2 else picture
        return laid_over(pixels, np.asarray(target), colors_of(facts))

    def words(self, targets: Any, facts: Mapping[str, Any]) -> list[str] | None:
        """Return the class that most pixels of each mask have."""
        names = [str(name) for name in facts["class_names"]]
        masks = np.asarray(targets).reshape(len(targets), -1)
        counts = [np.bincount(mask, minlength=len(names))[: len(names)] for mask in masks]
        return [names[int(one.argmax())] if one.any() else "" for one in counts]


def figures_of(counts: np.ndarray, names: Sequence[str]) -> tuple[dict[str, float], pd.DataFrame, pd.DataFrame]:
    """Return figures, a table of the classes and the confusion matrix of counted pixels.

    Args:
        counts: pixels by true and predicted class, int (classes, classes).
    """
    import pandas as pd

    accuracy, iou, precision = _shares(counts)
    figures = {
        "pixel_accuracy": float(np.trace(counts) / max(counts.sum(), 1)),
        "mean_accuracy": _mean(accuracy),
        "mean_iou": _mean(iou),
    }
    columns = {"class": list(names), "iou": iou, "accuracy": accuracy, "precision": precision}
    matrix = pd.DataFrame(counts, columns=list(names))
    matrix.insert(0, "class", list(names), allow_duplicates=True)
    return figures, pd.DataFrame({**columns, "pixels": counts.sum(axis=1)}), matrix


def _shares(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return of each class its accuracy, IoU and precision, NaN where there is nothing to divide by."""
    right, true, predicted = np.diag(counts), counts.sum(axis=1), counts.sum(axis=0)
    with np.errstate(invalid="ignore"):
        return right / true, right / (true + predicted - right), right / predicted


def _mean(shares: np.ndarray) -> float:
    known = shares[~np.isnan(shares)]
    return float(known.mean()) if len(known) else float("nan")


class _Confusion:
    """Counts in the graph the pixels of each image by true and predicted class, int (batch, classes^2).

    Args:
        loss: how the model's outputs are read.
    """

    def __init__(self, classes: int, loss: Any) -> None:
        self.classes, self.loss = classes, loss

    def __call__(self, outputs: Any, targets: Any) -> Any:
        return _count(targets, self.predicted(outputs), self.classes)

    def predicted(self, outputs: Any) -> Any:
        """Return the class of each pixel, int32 (batch, rows, columns); an output of void is never an answer."""
        import tensorflow as tf

        if outputs.shape[-1] == 1:
            binary = self.loss is not None and self.loss.targets == BINARY and self.loss.from_logits
            return tf.cast(outputs[..., 0] > (0.0 if binary else 0.5), tf.int32)
        return tf.argmax(outputs[..., : self.classes], axis=-1, output_type=tf.int32)


def _count(targets: Any, predicted: Any, k: int) -> Any:
    """Return the pixels of each image by true and predicted class, int (batch, k^2), in a graph."""
    import tensorflow as tf

    true = tf.reshape(tf.cast(targets, tf.int32), (tf.shape(targets)[0], -1))  # (batch, pixels)
    predicted = tf.reshape(predicted, tf.shape(true))
    counts = (true >= 0) & (true < k)  # not void
    pairs = tf.where(counts, true * k + predicted, k * k)  # what does not count is beyond the last
    return tf.math.bincount(pairs, minlength=k * k, maxlength=k * k, axis=-1)
