"""A model's outputs for each example of a split, the mean of several models, and tables of both."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from dltool.errors import UsageError
from dltool.tasks.base import AVERAGE
from dltool.training.outputs import BINARY, PROBABLE, CrossEntropy, cross_entropy, every_output, last_activation

if TYPE_CHECKING:
    from dltool.data.pipelines.base import Pipeline

AVERAGE_BATCH = 1024  # examples
EPSILON = 1e-7  # as keras.config.epsilon(): probabilities are kept off 0 and 1 before a logarithm


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
        class_names: of the run's data, None where they have none.
        multi_label: whether each class holds or does not, None where the run's data do not say.
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
    class_names: Sequence[Any] | None = None
    multi_label: bool | None = None

    @cached_property
    def probabilities(self) -> np.ndarray | None:
        """Class probabilities on the last axis, or None if neither loss nor last activation yields them."""
        from scipy.special import expit, softmax

        loss = cross_entropy(self.model)
        outputs = self.outputs
        if loss is None:
            return outputs if self._is_scored and last_activation(self.model) in PROBABLE else None
        if outputs.ndim < 2:
            return None
        if loss.targets == BINARY:
            if outputs.shape[-1] > 1:
                return None  # several independent labels: `label_scores`
            positive = expit(outputs) if loss.from_logits else outputs
            return np.concatenate([1 - positive, positive], axis=-1)
        return softmax(outputs, axis=-1) if loss.from_logits else outputs

    @cached_property
    def label_scores(self) -> np.ndarray | None:
        """A number a label, over 0.5 where it holds, (examples, labels); None where labels are no independent ones."""
        from scipy.special import expit

        if self.classes is None or self.outputs.ndim != 2 or self.outputs.shape[1] < 2:
            return None
        loss = cross_entropy(self.model)
        if loss is None:
            return self.outputs if self.multi_label else None
        if loss.targets != BINARY:
            return None
        return expit(self.outputs) if loss.from_logits else self.outputs

    @property
    def is_probable(self) -> bool:
        """Return whether scores of classes or of labels are probabilities."""
        if self.label_scores is None:
            return self.probabilities is not None
        return cross_entropy(self.model) is not None or last_activation(self.model) in PROBABLE

    @property
    def scores(self) -> np.ndarray | None:
        """A number a class, the largest for the class predicted: probabilities where there are any."""
        return self.probabilities if self.probabilities is not None or not self._is_scored else self.outputs

    @property
    def names(self) -> list[str]:
        """The classes' names, by default their numbers; empty where outputs are no classes."""
        if self.class_names is not None:
            return [str(name) for name in self.class_names]
        if self.scores is None or not self.is_classification:
            return []
        return [str(number) for number in range(self.scores.shape[-1])]

    @property
    def is_classification(self) -> bool:
        """Return whether each example has one class."""
        return self.label_scores is None and self.scores is not None and self.scores.ndim == 2

    def predicted(self) -> np.ndarray:
        """The class of each example of a classifier that its scores are highest for, (examples,)."""
        if self.scores is None:
            raise ValueError(f"{self.run} is no classifier")
        found: np.ndarray = self.scores.argmax(axis=-1)
        return found

    def labels(self) -> np.ndarray:
        """Targets as class indices, (examples,)."""
        one_hot = self.targets.ndim > 1 and self.targets.shape[-1] > 1
        return self.targets.argmax(axis=-1) if one_hot else self.targets.reshape(-1).astype(int)

    @cached_property
    def _is_scored(self) -> bool:
        """Return whether the model is a classifier although its loss is no cross-entropy.

        It then has one output column per class.
        """
        if cross_entropy(self.model) is not None or self.outputs.ndim != 2 or self.outputs.shape[1] < 2:
            return False
        if self.multi_label:
            return False
        if self.targets.size == len(self.targets):
            found: bool = self.classes == self.outputs.shape[1]
            return found
        one_hot = np.isin(self.targets, (0, 1)).all() and (self.targets.sum(axis=-1) == 1).all()
        return self.targets.shape == self.outputs.shape and bool(one_hot)


def of_facts(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return what `Evaluated` takes from facts of the data that a run was trained on, or of one of their targets."""
    return {
        "classes": facts.get("num_classes"),
        "class_names": facts.get("class_names"),
        "multi_label": facts.get("multi_label"),
    }


def evaluate(model: Any, pipeline: Pipeline, run: str, split: str, facts: Mapping[str, Any] | None = None) -> Evaluated:
    """One pass over a pipeline: outputs, and loss and metrics as `keras.Model.evaluate` gives them.

    Args:
        facts: of the data that the run was trained on. Defaults to none: targets are numbers.
    """
    facts = facts or {}
    passed = pass_over(model, pipeline, facts.get("features"))
    return Evaluated(
        run, split, passed.targets, passed.outputs, passed.figures, model, mask=passed.mask, **of_facts(facts)
    )


@dataclass
class Passed:
    """The outputs of a model in one pass over a split.

    Args:
        targets, outputs: (examples, ...), by name where the model has several outputs.
        mask: as of `Evaluated`, None also where the model has several outputs.
        figures: loss and compiled metrics.
    """

    targets: Any
    outputs: Any
    mask: np.ndarray | None
    figures: dict[str, float]


def pass_over(model: Any, pipeline: Pipeline, columns: Sequence[str] | None = None) -> Passed:
    """Return what a model gives for each example of a pipeline; `columns` as of `outputs_of`."""
    given: list[Any] = []
    targets: list[Any] = []
    masks: list[np.ndarray] = []
    for y, (predicted, mask) in batches_of(model, pipeline, _with_mask, columns):
        given.append(_arrays(predicted, np.float32))
        targets.append(_arrays(y))
        masks += [] if mask is None else [np.asarray(mask)]
    figures, counted = current_figures(model), np.concatenate(masks) if masks else None
    return Passed(_joined(targets), _joined(given), counted, figures)


def batches_of(
    model: Any, pipeline: Pipeline, keep: Callable[[Any, Any], Any], columns: Sequence[str] | None = None
) -> Iterator[tuple[Any, Any]]:
    """Yield each batch's targets and what is kept of the outputs; `current_figures` then gives loss and metrics.

    Args:
        keep: keep(outputs, targets), in the graph.
        columns: of a table, those that the model takes.
    """
    import tensorflow as tf

    from dltool.graph import keras_internals
    from dltool.training.counting import count

    count(model)

    @tf.function(reduce_retracing=True, autograph=False)
    def step(x: Any, y: Any) -> Any:
        every = outputs_of(model, x, columns)
        loss = model.compute_loss(x, y, every, None, training=False)
        keras_internals.loss_tracker(model).update_state(loss, sample_weight=tf.shape(tf.nest.flatten(y)[0])[0])
        model.compute_metrics(x, y, every, None)
        return keep(main_of(every), y)

    model.reset_metrics()
    for x, y in pipeline.batches():
        yield y, step(x, y)


def outputs_of(model: Any, x: Any, columns: Sequence[str] | None = None) -> Any:
    """Return all outputs of a model at inference, in a graph: the one way of `eval` and of `predict`.

    Args:
        columns: of a table, those that the model takes: Keras would mix them up with others.
    """
    return every_output(model, x if columns is None else {name: x[name] for name in columns})


def main_of(every: Any) -> Any:
    """Return the output that answers, which comes first."""
    return every[0] if isinstance(every, list) else every


def _with_mask(outputs: Any, targets: Any) -> tuple[Any, Any | None]:
    from dltool.graph import keras_internals

    return outputs, keras_internals.mask_of(outputs)


def _arrays(tensors: Any, dtype: Any = None) -> Any:
    import tensorflow as tf

    return tf.nest.map_structure(lambda one: np.asarray(one, dtype), tensors)


def _joined(batches: Sequence[Any]) -> Any:
    """Return arrays of batches one after another, by name where there are several."""
    if isinstance(batches[0], Mapping):
        return {name: np.concatenate([batch[name] for batch in batches]) for name in batches[0]}
    return np.concatenate(batches)


def average(members: Sequence[Evaluated]) -> Evaluated:
    """The mean of several models' predictions (lecture slide 118): of probabilities where outputs say them.

    Its figures are those of the first model's compilation; its loss is without weight penalties.

    Raises:
        UsageError: the members' examples or outputs do not go together.
    """
    check_together(members)
    first, outputs = members[0], mean_outputs(members)
    figures = figures_of(first.model, first.targets, outputs, first.mask)
    return replace(first, run=AVERAGE, outputs=outputs, figures=figures)


def check_together(members: Sequence[Evaluated]) -> None:
    """Raise unless members are of the same examples and have outputs of one kind.

    Raises:
        UsageError: they are not, or have not.
    """
    first = members[0]
    for other in members[1:]:
        if other.targets.shape != first.targets.shape or not (other.targets == first.targets).all():
            message = "have other examples: average runs of the same data and split"
            raise UsageError(f"{other.run} and {first.run} {message}")
        kinds = [(one.is_probable, one.label_scores is None, one.outputs.shape) for one in (other, first)]
        if kinds[0] != kinds[1]:
            raise UsageError(f"{other.run} and {first.run} have other outputs: they can't be averaged")


def mean_outputs(members: Sequence[Evaluated]) -> np.ndarray:
    """Return outputs that stand for the mean of several models' probabilities, or else of their outputs."""
    first, read = members[0], cross_entropy(members[0].model)
    if not all(member.is_probable for member in members):
        found: np.ndarray = np.mean([member.outputs for member in members], axis=0)
        return found
    if first.label_scores is not None:
        mean = np.mean([one.label_scores for one in members if one.label_scores is not None], axis=0)
        return mean if read is None or not read.from_logits else _logits(mean)
    mean = np.mean([one.probabilities for one in members if one.probabilities is not None], axis=0)
    return mean if read is None else _as_outputs(mean, read)


def figures_of(model: Any, targets: Any, outputs: Any, mask: np.ndarray | None = None) -> dict[str, float]:
    """Return the loss without penalties and the compiled metrics of outputs that are there already.

    Args:
        targets, outputs: as of `Passed`.
    """
    import tensorflow as tf

    from dltool.graph import keras_internals

    model.reset_metrics()
    size = len(tf.nest.flatten(outputs)[0])
    for start in range(0, size, AVERAGE_BATCH):
        some = slice(start, start + AVERAGE_BATCH)
        y = tf.nest.map_structure(lambda one: one[some], targets)  # noqa: B023 - called at once
        predicted = tf.nest.map_structure(lambda one: tf.convert_to_tensor(one[some]), outputs)  # noqa: B023
        if mask is not None:
            keras_internals.set_mask(predicted, tf.convert_to_tensor(mask[some]))
        model.compute_metrics(None, y, predicted, None)
        loss = keras_internals.compiled_loss(model)(y, predicted)
        keras_internals.loss_tracker(model).update_state(loss, sample_weight=len(tf.nest.flatten(y)[0]))
    return current_figures(model)


def current_figures(model: Any) -> dict[str, float]:
    """Return the model's present loss and metrics, the loss first, and reset them."""
    from dltool.training import evaluation

    found = evaluation.figures_of(model)
    model.reset_metrics()
    return {"loss": found["loss"]} | found


def _as_outputs(probabilities: np.ndarray, loss: CrossEntropy) -> np.ndarray:
    """Outputs of the loss's kind that stand for these probabilities: log p are logits, for softmax(log p) = p."""
    if loss.targets == BINARY:
        positive = probabilities[..., 1:]
        if not loss.from_logits:
            return positive
        return _logits(positive)
    return np.log(np.clip(probabilities, EPSILON, 1)) if loss.from_logits else probabilities


def _logits(probabilities: np.ndarray) -> np.ndarray:
    """Return ln(p / (1 - p))."""
    from scipy.special import logit

    found: np.ndarray = logit(np.clip(probabilities, EPSILON, 1 - EPSILON))
    return found
