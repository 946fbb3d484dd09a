"""What models give on data, and figures of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

    from dltool.pipelines.base import Pipeline

AVERAGE = "average"
EPSILON = 1e-7  # as keras.config.epsilon(): probabilities are kept off 0 and 1 before a logarithm


@dataclass
class Evaluated:
    """A run's outputs on a split.

    Args:
        run: the run's path, or "average".
        split: the split's name.
        targets: (examples, ...).
        outputs: what the model gives, float (examples, outputs).
        probabilities: (examples, classes) for a classifier, else None.
        figures: loss and compiled metrics.
        model: the compiled model.
        from_logits: whether outputs are logits.
    """

    run: str
    split: str
    targets: np.ndarray
    outputs: np.ndarray
    probabilities: np.ndarray | None
    figures: dict[str, float]
    model: Any
    from_logits: bool

    def labels(self) -> np.ndarray:
        """Targets as class indices, (examples,)."""
        one_hot = self.targets.ndim > 1 and self.targets.shape[-1] > 1
        return self.targets.argmax(axis=-1) if one_hot else self.targets.reshape(-1).astype(int)


def evaluate(model: Any, pipeline: Pipeline, run: str, split: str, source: Any) -> Evaluated:
    """One pass over a pipeline: outputs, loss and metrics."""
    import tensorflow as tf

    from dltool.errors import DataError
    from dltool.procedures.evaluation import figures_of

    @tf.function(reduce_retracing=True)
    def step(x: Any, y: tf.Tensor) -> tf.Tensor:
        predicted = model(x, training=False)
        return predicted

    outputs, targets = [], []
    model.reset_metrics()
    total, seen = 0.0, 0
    try:
        for x, y in pipeline.batches():
            predicted = step(x, y)
            loss = model.compute_loss(x, y, predicted, None, training=False)
            model.compute_metrics(x, y, predicted, None)
            total += float(loss) * len(y)
            seen += len(y)
            outputs.append(np.asarray(predicted, np.float32))
            targets.append(np.asarray(y))
    except tf.errors.OpError as error:
        explained = source.explain(error)
        raise explained or DataError(f"{run}: {str(error).splitlines()[0]}") from error
    figures = {"loss": total / max(seen, 1), **{k: v for k, v in figures_of(model).items() if k != "loss"}}
    model.reset_metrics()
    joined = np.concatenate(outputs)
    logits = _from_logits(model)
    return Evaluated(
        run, split, np.concatenate(targets), joined, _probabilities(model, joined, logits), figures, model, logits
    )


def average(members: Sequence[Evaluated]) -> Evaluated:
    """The mean of several models' predictions (lecture slide 118): probabilities of classifiers, else outputs.

    Its loss is the members' compiled loss of the averaged prediction, without weight penalties.
    """
    first = members[0]
    if first.probabilities is None:
        outputs = np.mean([member.outputs for member in members], axis=0)
        probabilities = None
    else:
        probabilities = np.mean([member.probabilities for member in members], axis=0)
        outputs = _as_outputs(first, probabilities)
    model = first.model
    model.reset_metrics()
    losses, seen = 0.0, 0
    for start in range(0, len(outputs), 1024):
        chosen = slice(start, start + 1024)
        y, predicted = first.targets[chosen], outputs[chosen]
        losses += float(model.compute_loss(None, y, predicted, None, training=False) - sum(map(float, model.losses))) * len(y)
        model.compute_metrics(None, y, predicted, None)
        seen += len(y)
    from dltool.procedures.evaluation import figures_of

    figures = {"loss": losses / seen, **{k: v for k, v in figures_of(model).items() if k != "loss"}}
    model.reset_metrics()
    return Evaluated(AVERAGE, first.split, first.targets, outputs, probabilities, figures, model, first.from_logits)


def classification(one: Evaluated, names: Sequence[str]) -> tuple[dict[str, float], pd.DataFrame, pd.DataFrame]:
    """Macro averages, figures a class, and the confusion matrix (rows: true classes)."""
    import pandas as pd
    from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

    labels = list(range(len(names)))
    true, predicted = one.labels(), one.probabilities.argmax(axis=-1)
    precision, recall, f1, support = precision_recall_fscore_support(true, predicted, labels=labels, zero_division=0)
    present = support > 0
    summary = {
        "macro_precision": float(precision[present].mean()),
        "macro_recall": float(recall[present].mean()),
        "macro_f1": float(f1[present].mean()),
    }
    table = pd.DataFrame({"class": list(names), "precision": precision, "recall": recall, "f1": f1, "examples": support})
    matrix = pd.DataFrame(confusion_matrix(true, predicted, labels=labels), columns=[str(name) for name in names])
    matrix.insert(0, "class", list(names))
    return summary, table, matrix


def regression(one: Evaluated) -> dict[str, float]:
    """Mean absolute error, root mean squared error and R2 over all outputs."""
    from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error

    true = one.targets.reshape(len(one.targets), -1)
    predicted = one.outputs.reshape(len(one.outputs), -1)
    if true.shape != predicted.shape or true.dtype.kind not in "fiu":
        return {}
    return {
        "mae": float(mean_absolute_error(true, predicted)),
        "rmse": float(root_mean_squared_error(true, predicted)),
        "r2": float(r2_score(true, predicted)) if len(true) > 1 else float("nan"),
    }


def _from_logits(model: Any) -> bool:
    loss = model.loss
    return bool(getattr(loss, "from_logits", None) or _config(loss).get("from_logits", False))


def _config(loss: Any) -> dict[str, Any]:
    try:
        return loss.get_config()
    except (AttributeError, TypeError):
        return {}


def _probabilities(model: Any, outputs: np.ndarray, from_logits: bool) -> np.ndarray | None:
    """Class probabilities where the loss is a cross-entropy over classes; None for other models."""
    loss = model.loss
    name = loss if isinstance(loss, str) else getattr(loss, "name", "") or getattr(loss, "__name__", "")
    if "crossentropy" not in name.lower() or outputs.ndim != 2:
        return None
    if outputs.shape[1] == 1:  # one output: the probability of class 1
        positive = 1 / (1 + np.exp(-outputs)) if from_logits else outputs
        return np.concatenate([1 - positive, positive], axis=1)
    if "binary" in name.lower():
        return None  # several independent labels
    if from_logits:
        shifted = np.exp(outputs - outputs.max(axis=1, keepdims=True))
        return shifted / shifted.sum(axis=1, keepdims=True)
    return outputs


def _as_outputs(one: Evaluated, probabilities: np.ndarray) -> np.ndarray:
    """Outputs that stand for these probabilities: log p are logits, for softmax(log p) = p."""
    if one.outputs.shape[1] == 1:
        positive = np.clip(probabilities[:, 1:], EPSILON, 1 - EPSILON)
        return np.log(positive / (1 - positive)) if one.from_logits else probabilities[:, 1:]
    return np.log(np.clip(probabilities, EPSILON, 1)) if one.from_logits else probabilities
