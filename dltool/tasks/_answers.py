"""Answers of models as tables, with or without targets."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from dltool.tasks._outputs import Evaluated, mean_outputs
from dltool.tasks.base import Asked
from dltool.training.outputs import each, every_output

if TYPE_CHECKING:
    import pandas as pd


def unjudged(model: Any, x: Any, facts: Mapping[str, Any]) -> Evaluated:
    """Return a model's outputs for new examples, as `Evaluated` without targets: zeros stand in their place."""
    return _without_targets(np.asarray(_given(model, x, facts), np.float32), model, facts)


def unjudged_each(model: Any, x: Any, facts: Mapping[str, Any]) -> dict[str, Evaluated]:
    """Return the same as `unjudged` for each output of a model with several, by name."""
    given = _given(model, x, facts)
    return {
        name: _without_targets(np.asarray(given[name], np.float32), one, facts["targets"][name])
        for name, one in each(model).items()
    }


def together(members: Sequence[Evaluated]) -> Evaluated:
    """Return the answer of several models: the mean of their probabilities, or else of their outputs."""
    return replace(members[0], outputs=mean_outputs(members)) if len(members) > 1 else members[0]


def _given(model: Any, x: Any, facts: Mapping[str, Any]) -> Any:
    columns = facts.get("features")
    return _forward(model)(x if columns is None else {name: x[name] for name in columns})


def _without_targets(outputs: np.ndarray, model: Any, facts: Mapping[str, Any]) -> Evaluated:
    targets = np.zeros(len(outputs), np.int32)
    classes, names = facts.get("num_classes"), facts.get("class_names")
    return Evaluated("", "", targets, outputs, {}, model, classes, class_names=names)


@functools.lru_cache(maxsize=16)
def _forward(model: Any) -> Any:
    """Return a model's main output at inference as one compiled function."""
    import tensorflow as tf

    @tf.function(reduce_retracing=True, autograph=False)
    def forward(x: Any) -> Any:
        every = every_output(model, x)
        main = every[0] if isinstance(every, list) else every
        return tf.nest.map_structure(lambda one: tf.cast(one, tf.float32), main)

    return forward


def answers(evaluated: Evaluated) -> pd.DataFrame:
    """Return a row an example: where it comes from, target and prediction, and of a classifier a probability a class.

    Columns: `index`, from 0 in the split; `file`, or `row`, from 0 in the file or the arrays that the split lies in;
    `target` and `prediction`, by class names where the data have them; `probability_NAME` of each class, or
    `score_NAME` where outputs are no probabilities. Of other outputs `target` and `prediction`, or `target_0`, ... of
    several.
    """
    import pandas as pd

    if evaluated.is_classification:
        targets: dict[str, Any] = {"target": _named(evaluated.labels(), _all_names(evaluated))}
    else:
        flat = evaluated.targets.reshape(len(evaluated.targets), -1)
        targets = {_numbered("target", i, flat): flat[:, i] for i in range(flat.shape[1])}
    word, places = evaluated.origin or ("row", range(len(evaluated.outputs)))
    columns = {"index": np.arange(len(evaluated.outputs)), word: list(places)}
    return pd.DataFrame(columns | targets | predictions(evaluated))


def predictions(evaluated: Evaluated) -> dict[str, Any]:
    """Return the columns of `answers` that need no targets: predictions, and a probability or score a class."""
    if not evaluated.is_classification or evaluated.scores is None:
        outputs = evaluated.outputs.reshape(len(evaluated.outputs), -1)
        return {_numbered("prediction", i, outputs): outputs[:, i] for i in range(outputs.shape[1])}
    names, outputs = _all_names(evaluated), evaluated.scores
    columns: dict[str, Any] = {"prediction": _named(evaluated.predicted(), names)}
    return columns | {f"{word_of_scores(evaluated)}_{name}": outputs[:, i] for i, name in enumerate(names)}


def asked_columns(evaluated: Evaluated, asked: Asked) -> dict[str, Any]:
    """Return the columns that are asked of answers: a probability a class, or the likeliest classes."""
    return predictions(evaluated) if asked.every else best(evaluated, asked.top)


def best(evaluated: Evaluated, top: int) -> dict[str, Any]:
    """Return the likeliest classes and their probabilities or scores, as columns: prediction, probability, and of the
    next ones prediction_2, probability_2, ...; other outputs as `predictions` gives them.
    """
    scores = evaluated.scores
    if not evaluated.is_classification or scores is None:
        return predictions(evaluated)
    names, word = np.array(_all_names(evaluated), dtype=object), word_of_scores(evaluated)
    order = np.argsort(-scores, axis=1, kind="stable")[:, :top]
    columns: dict[str, Any] = {}
    for rank in range(order.shape[1]):
        end = f"_{rank + 1}" if rank else ""
        columns[f"prediction{end}"] = names[order[:, rank]]
        columns[f"{word}{end}"] = np.take_along_axis(scores, order[:, rank : rank + 1], 1)[:, 0]
    return columns


def word_of_scores(evaluated: Evaluated) -> str:
    """Return "probability", or "score" where the outputs of classes are no probabilities."""
    return "score" if evaluated.probabilities is None else "probability"


def _all_names(evaluated: Evaluated) -> list[str]:
    """Return a name for each output of a classifier, numbers for those beyond the classes."""
    assert evaluated.scores is not None
    count = evaluated.scores.shape[1]
    return [*evaluated.names[:count], *map(str, range(len(evaluated.names), count))]


def _named(labels: Any, names: Sequence[str]) -> list[str]:
    return [names[label] if 0 <= label < len(names) else str(label) for label in labels.tolist()]


def _numbered(word: str, index: int, array: Any) -> str:
    return f"{word}_{index}" if array.shape[1] > 1 else word
