"""How compiled metrics read a model's outputs and targets: as the loss does, or not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dltool.training.outputs import BINARY, PROBABLE, Output, coding, cross_entropy, each, last_activation

LOGITS, PROBABILITIES = "logits", "probabilities"
OF_ONE_HOT = (  # metrics of Keras whose targets are a column a class
    "AUC",
    "FBetaScore",
    "_ConfusionMatrixConditionCount",
    "Precision",
    "Recall",
    "SensitivitySpecificityBase",
    "CategoricalAccuracy",
    "TopKCategoricalAccuracy",
    "CategoricalCrossentropy",
    "CategoricalHinge",
    "CosineSimilarity",
    "KLDivergence",
)
OF_PROBABILITIES = ("SensitivitySpecificityBase", "KLDivergence", "BinaryIoU")  # with no argument to change that
FUNCTIONS = ("binary_crossentropy", "categorical_crossentropy", "sparse_categorical_crossentropy")
ANY_THRESHOLD = -1e7  # what Keras sets where a metric counts the top k


def notes(model: Any) -> list[str]:
    """Return a line for each part of a compiled model, its metrics built, that reads outputs in another way."""
    return [line for name, one in each(model).items() for line in _notes(one, f".{name}" if name else "")]


def _notes(model: Any, of: str) -> list[str]:
    """Return the lines about a model or one of its outputs; `of` is what the recipe's keys of it end in."""
    loss, activation = cross_entropy(model), last_activation(model)
    ends_in = f"the output '{of[1:]}'" if of else "the model"
    found = []
    if loss is not None and loss.from_logits and activation in PROBABLE:
        found.append(
            f"compile.loss{of} reads logits (from_logits: true), but {ends_in} ends in a {activation}: "
            "remove one of them."
        )
    if loss is not None and not loss.from_logits and activation == "linear":
        ends = "sigmoid" if loss.targets == BINARY else "softmax"
        found.append(f"compile.loss{of} reads probabilities, but {ends_in} ends in no {ends}: set from_logits: true.")
    given = outputs_of(model)
    for metric in metrics_of(model):
        if type(metric).__name__ == "Accuracy":
            found.append(
                f"compile.metrics{of}: {metric.name} counts outputs that equal their targets. For the share of right "
                "classes write accuracy."
            )
        read, remedy = reading_of(metric)
        if given is not None and read is not None and read != given:
            found.append(f"compile.metrics{of}: {metric.name} reads {read}, but {ends_in} gives {given}: {remedy}.")
    return found


def outputs_of(model: Any) -> str | None:
    """Return whether a compiled model gives logits or probabilities, None where that is not known."""
    loss, activation = cross_entropy(model), last_activation(model)
    if loss is not None and loss.from_logits:
        return LOGITS if activation not in PROBABLE else None  # loss and net differ, which is noted
    if activation in PROBABLE:
        return PROBABILITIES
    return None if loss is None or activation == "linear" else PROBABILITIES


def reading_of(metric: Any) -> tuple[str | None, str]:
    """Return whether a metric reads logits or probabilities, None for either, and how to change that."""
    from dltool.graph import keras_internals  # which loads Keras

    settings = keras_internals.settings_of(metric)
    logits = settings["from_logits"]
    if logits is None and getattr(keras_internals.metric_function(metric), "__name__", "") in FUNCTIONS:
        logits = False
    if logits is not None:
        return (LOGITS, "remove from_logits") if logits else (PROBABILITIES, "set from_logits: true")
    sigmoid = "end the model in a sigmoid or softmax, and leave out from_logits of the loss"
    if _is_one(metric, OF_PROBABILITIES):
        return PROBABILITIES, sigmoid
    if _is_one(metric, ("FBetaScore",)):
        return (None if metric.threshold is None else PROBABILITIES), sigmoid
    if "threshold" in settings:
        word, thresholds = "threshold", [settings["threshold"]]
    else:
        word, thresholds = "thresholds", list(settings.get("thresholds") or [])
    thresholds = [one for one in thresholds if one is not None and one > ANY_THRESHOLD]
    if not thresholds:
        return None, ""
    if all(one == 0 for one in thresholds):
        return LOGITS, f"leave out {word}"
    return PROBABILITIES, f"set {word}: 0.0, a probability of 0.5"


def problem(metric: Any, model: Any) -> str | None:
    """Return why a metric that has seen a batch gives no figure of this model, with the remedy; None if it does."""
    shape = tuple(getattr(metric.result(), "shape", None) or ())
    values = 1
    for size in shape:
        values *= size
    if _is_one(metric, ("FBetaScore",)):
        if metric.threshold is None and metric.intermediate_weights.shape in ((1,), ()) and _has_one_output(model):
            return "takes the largest of several outputs as the class, and the model has one. Set threshold: 0.5."
        if values > 1:
            return f"gives {values} figures, one a class. Set average to macro, micro or weighted."
    if values > 1:
        return f"gives {values} figures, not one. Name it once for each of them, with one threshold or class."
    return None


def resolved(arguments: Mapping[str, Any], model: Any) -> dict[str, Any]:
    """Return arguments of `compile` with which the word accuracy counts logits of one unit above 0, not above 0.5."""
    changed = dict(arguments)
    for name, one in each(model).items():
        loss = arguments["loss"].get(name) if name else arguments["loss"]
        read = coding(loss)
        if read is None or read.targets != BINARY or not read.from_logits or not _has_one_output(one):
            continue
        for key in ("metrics", "weighted_metrics"):
            if not name and isinstance(arguments.get(key), list):
                changed[key] = [_above_zero(metric) for metric in arguments[key]]
            elif name and isinstance(arguments.get(key), dict) and name in arguments[key]:
                listed = arguments[key][name]
                listed = listed if isinstance(listed, list) else [listed]
                changed[key] = {**changed[key], name: [_above_zero(metric) for metric in listed]}
    return changed


def _above_zero(metric: Any) -> Any:
    """Return the metric that the word accuracy means for logits of one unit, and any other metric itself."""
    import keras

    return keras.metrics.BinaryAccuracy(name=metric, threshold=0.0) if metric in ("accuracy", "acc") else metric


def take_indices(metric: Any) -> None:
    """Let a metric of one-hot targets also take class indices, and one of columns a single one."""
    if not _is_one(metric, OF_ONE_HOT) or "update_state" in vars(metric):
        return
    from keras import ops

    update = metric.update_state
    columns = _is_one(metric, ("FBetaScore",))

    def update_state(y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        if len(y_pred.shape) == 2:
            classes = y_pred.shape[-1]
            indices = len(y_true.shape) == 1 or (y_true.shape[-1] == 1 and classes > 1)
            if indices and classes > 1:
                y_true = ops.one_hot(ops.cast(ops.reshape(y_true, (-1,)), "int32"), classes)
            elif indices and columns:
                y_true = ops.reshape(y_true, (-1, 1))
        return update(y_true, y_pred, sample_weight=sample_weight)

    metric.update_state = update_state


def metrics_of(model: Any) -> Sequence[Any]:
    """Return the compiled metrics of a model or of one of its outputs, once they are built."""
    if isinstance(model, Output):
        return model.metrics
    from dltool.graph import keras_internals

    compiled = keras_internals.compiled_metrics(model)
    return [] if compiled is None else compiled.metrics


def _has_one_output(model: Any) -> bool:
    shape = getattr(model, "output_shape", None)
    return isinstance(shape, tuple) and shape[-1] == 1


def _is_one(metric: Any, names: Sequence[str]) -> bool:
    return any(kind.__name__ in names for kind in type(metric).__mro__)
