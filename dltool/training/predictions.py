"""What models give on data, and figures of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from dltool.errors import UsageError

if TYPE_CHECKING:
    import pandas as pd

    from dltool.data.pipelines.base import Pipeline

AVERAGE = "average"
AVERAGE_BATCH = 1024  # examples
EPSILON = 1e-7  # as keras.config.epsilon(): probabilities are kept off 0 and 1 before a logarithm
PROBABLE = ("softmax", "sigmoid")  # activations that give probabilities
SPARSE, ONE_HOT, BINARY = "sparse", "one-hot", "binary"  # how targets say the class


@dataclass
class Measured:
    """A run's figures on text, whose outputs, a number for each token that could follow, are not kept.

    Args:
        run: the run's path.
        split: the split's name.
        counted: what it was measured on: "tokens", or "examples", pairs of sentences.
        figures: loss and compiled metrics, of sentences over all trained directions.
        directions: of sentences a row a direction, with the zero-shot ones: direction, zero_shot, examples, figures.
    """

    run: str
    split: str
    counted: dict[str, int]
    figures: dict[str, float]
    directions: list[dict[str, Any]] = field(default_factory=list)


class CrossEntropy(NamedTuple):
    """What a cross-entropy makes of outputs: how targets are coded, and whether outputs are logits."""

    targets: str
    from_logits: bool


@dataclass
class Evaluated:
    """A run's outputs on a split.

    Args:
        run: the run's path, or "average".
        split: the split's name.
        targets: (examples, ...).
        outputs: what the model gives, float (examples, ...).
        figures: loss and compiled metrics.
        model: the compiled model.
        classes: how many the run's data have, None where targets are numbers.
        origin: "file" or "row", and which each example is, (examples,).
        mask: of sequences whether each token counts, bool (examples, tokens); None where all do.
    """

    run: str
    split: str
    targets: np.ndarray
    outputs: np.ndarray
    figures: dict[str, float]
    model: Any
    classes: int | None = None
    origin: tuple[str, Sequence[Any]] | None = None
    mask: np.ndarray | None = None

    @cached_property
    def probabilities(self) -> np.ndarray | None:
        """Of classes, on the last axis, where the loss or the last activation makes outputs such, else None."""
        from scipy.special import expit, softmax

        loss = cross_entropy(self.model)
        outputs = self.outputs
        if loss is None:
            return outputs if self._is_scored and last_activation(self.model) in PROBABLE else None
        if outputs.ndim < 2:
            return None
        if loss.targets == BINARY:
            if outputs.shape[-1] > 1:
                return None  # several independent labels
            positive = expit(outputs) if loss.from_logits else outputs
            return np.concatenate([1 - positive, positive], axis=-1)
        return softmax(outputs, axis=-1) if loss.from_logits else outputs

    @property
    def scores(self) -> np.ndarray | None:
        """A number a class, the largest for the class predicted: probabilities where there are any."""
        return self.probabilities if self.probabilities is not None or not self._is_scored else self.outputs

    @property
    def is_classification(self) -> bool:
        """Whether there is one class an example."""
        return self.scores is not None and self.scores.ndim == 2

    def predicted(self) -> np.ndarray:
        """The class of each example of a classifier that its scores are highest for, (examples,)."""
        if self.scores is None:
            raise ValueError(f"{self.run} is no classifier")
        return self.scores.argmax(axis=-1)

    def labels(self) -> np.ndarray:
        """Targets as class indices, (examples,)."""
        one_hot = self.targets.ndim > 1 and self.targets.shape[-1] > 1
        return self.targets.argmax(axis=-1) if one_hot else self.targets.reshape(-1).astype(int)

    @cached_property
    def _is_scored(self) -> bool:
        """Whether targets are classes, as indices or one-hot, and outputs a column each; of other losses."""
        if cross_entropy(self.model) is not None or self.outputs.ndim != 2 or self.outputs.shape[1] < 2:
            return False
        if self.targets.size == len(self.targets):
            return self.classes == self.outputs.shape[1]
        one_hot = np.isin(self.targets, (0, 1)).all() and (self.targets.sum(axis=-1) == 1).all()
        return self.targets.shape == self.outputs.shape and bool(one_hot)


def cross_entropy(model: Any) -> CrossEntropy | None:
    """How a compiled model's loss reads its outputs, None where it is no cross-entropy."""
    return coding(model.loss)


def coding(loss: Any) -> CrossEntropy | None:
    """How a loss reads outputs, None where it is no cross-entropy."""
    from keras import losses

    from dltool.library.losses.label_smoothed_crossentropy import LabelSmoothedCrossentropy

    loss = losses.get(loss) if isinstance(loss, str) else loss
    kinds = {
        SPARSE: (losses.SparseCategoricalCrossentropy, losses.sparse_categorical_crossentropy),
        ONE_HOT: (
            losses.CategoricalCrossentropy,
            losses.CategoricalFocalCrossentropy,
            losses.categorical_crossentropy,
            losses.categorical_focal_crossentropy,
        ),
        BINARY: (
            losses.BinaryCrossentropy,
            losses.BinaryFocalCrossentropy,
            losses.binary_crossentropy,
            losses.binary_focal_crossentropy,
        ),
    }
    for targets, known in kinds.items():
        if any(isinstance(loss, one) if isinstance(one, type) else loss is one for one in known):
            return CrossEntropy(targets, bool(getattr(loss, "from_logits", False)))
    return CrossEntropy(SPARSE, True) if isinstance(loss, LabelSmoothedCrossentropy) else None


def last_activation(model: Any) -> str | None:
    """The name of the activation that a model's outputs come from, None where there is none."""
    from keras import layers

    last = model.layers[-1]
    if isinstance(last, layers.Softmax):
        return "softmax"
    return getattr(getattr(last, "activation", None), "__name__", None)


def outputs_problem(model: Any, classes: int | None) -> str | None:
    """What is wrong with a model's outputs for so many classes: kernels would read beyond their end."""
    loss = cross_entropy(model)
    shape = getattr(model, "output_shape", None)
    shape = shape[0] if isinstance(shape, list) else shape  # the main output comes first
    if loss is None or not classes or not isinstance(shape, tuple) or not isinstance(shape[-1], int):
        return None
    if loss.targets == SPARSE and shape[-1] < classes:
        return f"gives {shape[-1]} outputs, the data have {classes} classes. Use ${{data.num_classes}}."
    if loss.targets == BINARY and shape[-1] == 1 and classes > 2:
        return (
            f"gives 1 output, the data have {classes} classes. Use ${{data.num_classes}} outputs "
            "and SparseCategoricalCrossentropy."
        )
    return None


def every_output(model: Any, x: Any) -> Any:
    """What a model gives at inference for the metrics to judge: a committee also says what each member gives."""
    return getattr(model, "every_output", model)(x, training=False)


def measure(model: Any, pipeline: Pipeline) -> dict[str, float]:
    """Loss and compiled metrics of one pass over a split, as training evaluates it."""
    from dltool.training.evaluation import Evaluation

    return Evaluation(model).run(pipeline)


def evaluate(
    model: Any,
    pipeline: Pipeline,
    run: str,
    split: str,
    columns: Sequence[str] | None = None,
    classes: int | None = None,
) -> Evaluated:
    """One pass over a pipeline: outputs, and loss and metrics as `keras.Model.evaluate` gives them.

    Args:
        classes: how many the data have, None where targets are numbers.
        columns: of a table, those that the model takes: Keras would mix them up with others.
    """
    import tensorflow as tf

    from dltool.training.counting import count

    count(model)

    @tf.function(reduce_retracing=True, autograph=False)
    def step(x: Any, y: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor | None]:
        if columns is not None:
            x = {name: x[name] for name in columns}
        every = every_output(model, x)
        loss = model.compute_loss(x, y, every, None, training=False)
        model._loss_tracker.update_state(loss, sample_weight=tf.shape(y)[0])
        model.compute_metrics(x, y, every, None)
        main = every[0] if isinstance(every, list) else every
        return main, getattr(main, "_keras_mask", None)

    model.reset_metrics()
    given, targets, masks = [], [], []
    for x, y in pipeline.batches():
        predicted, mask = step(x, y)
        given.append(np.asarray(predicted, np.float32))
        targets.append(np.asarray(y))
        masks += [] if mask is None else [np.asarray(mask)]
    figures, counted = _figures(model), np.concatenate(masks) if masks else None
    return Evaluated(run, split, np.concatenate(targets), np.concatenate(given), figures, model, classes, mask=counted)


def average(members: Sequence[Evaluated]) -> Evaluated:
    """The mean of several models' predictions (lecture slide 118): of probabilities where outputs say them.

    Its figures are those of the first model's compilation; its loss is without weight penalties.

    Raises:
        UsageError: the members' examples or outputs do not go together.
    """
    first = members[0]
    for other in members[1:]:
        if other.targets.shape != first.targets.shape or not (other.targets == first.targets).all():
            message = "have other examples: average runs of the same data and split"
            raise UsageError(f"{other.run} and {first.run} {message}")
        classify = (other.probabilities is None, first.probabilities is None)
        if other.outputs.shape != first.outputs.shape or classify[0] != classify[1]:
            raise UsageError(f"{other.run} and {first.run} have other outputs: they can't be averaged")
    read = cross_entropy(first.model)
    probabilities = [member.probabilities for member in members if member.probabilities is not None]
    if probabilities:
        mean = np.mean(probabilities, axis=0)
        outputs = mean if read is None else _as_outputs(mean, read)
    else:
        outputs = np.mean([member.outputs for member in members], axis=0)
    figures = _figures_of(first.model, first.targets, outputs, first.mask)
    return replace(first, run=AVERAGE, outputs=outputs, figures=figures)


def _figures_of(model: Any, targets: np.ndarray, outputs: np.ndarray, mask: np.ndarray | None) -> dict[str, float]:
    """Return the loss without penalties and the compiled metrics of outputs that are there already."""
    import tensorflow as tf

    model.reset_metrics()
    for start in range(0, len(outputs), AVERAGE_BATCH):
        some = slice(start, start + AVERAGE_BATCH)
        y, predicted = targets[some], tf.convert_to_tensor(outputs[some])
        if mask is not None:
            predicted._keras_mask = tf.convert_to_tensor(mask[some])
        model.compute_metrics(None, y, predicted, None)
        model._loss_tracker.update_state(model._compile_loss(y, predicted), sample_weight=len(y))
    return _figures(model)


def classification(one: Evaluated, names: Sequence[str]) -> tuple[dict[str, float], pd.DataFrame, pd.DataFrame]:
    """Return macro averages, figures a class, and the confusion matrix (rows: truth).

    Macro averages are over the classes that occur, as truth or as prediction, as scikit-learn's are by default.
    """
    import pandas as pd
    from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

    labels = list(range(len(names)))
    true, predicted = one.labels(), one.predicted()
    scores = precision_recall_fscore_support(true, predicted, labels=labels, zero_division=0)
    precision, recall, f1, support = scores
    present = np.isin(labels, np.concatenate([true, predicted]))
    summary = {
        "macro_precision": float(precision[present].mean()),
        "macro_recall": float(recall[present].mean()),
        "macro_f1": float(f1[present].mean()),
    }
    columns = {"class": list(names), "precision": precision, "recall": recall, "f1": f1, "examples": support}
    matrix = pd.DataFrame(confusion_matrix(true, predicted, labels=labels), columns=list(names))
    matrix.insert(0, "class", list(names), allow_duplicates=True)
    return summary, pd.DataFrame(columns), matrix


def regression(one: Evaluated) -> dict[str, float]:
    """Mean absolute error and root mean squared error over all outputs, and the mean R2 of the outputs."""
    from sklearn.metrics import r2_score

    true, predicted = one.targets, one.outputs
    if one.mask is not None and true.shape[: one.mask.ndim] == one.mask.shape:
        true, predicted = true[one.mask], predicted[one.mask]
    true = true.reshape(len(true), -1).astype(float)
    predicted = predicted.reshape(len(predicted), -1).astype(float)
    if true.shape != predicted.shape:
        return {}
    return {
        "mae": float(np.abs(true - predicted).mean()),
        "rmse": float(np.sqrt(np.square(true - predicted).mean())),
        "r2": float(r2_score(true, predicted)) if len(true) > 1 else float("nan"),
    }


def _figures(model: Any) -> dict[str, float]:
    """Return the model's loss and metrics as they stand, the loss first; they begin anew."""
    from dltool.training.evaluation import figures_of

    found = figures_of(model)
    model.reset_metrics()
    return {"loss": found["loss"]} | found


def _as_outputs(probabilities: np.ndarray, loss: CrossEntropy) -> np.ndarray:
    """Outputs of the loss's kind that stand for these probabilities: log p are logits, for softmax(log p) = p."""
    from scipy.special import logit

    if loss.targets == BINARY:
        positive = probabilities[..., 1:]
        if not loss.from_logits:
            return positive
        return logit(np.clip(positive, EPSILON, 1 - EPSILON))
    return np.log(np.clip(probabilities, EPSILON, 1)) if loss.from_logits else probabilities
