"""Answers of models as tables, with or without targets: the same columns for `eval --predictions` and `predict`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from dltool.errors import UsageError
from dltool.tasks import _outputs
from dltool.tasks._outputs import Evaluated
from dltool.tasks.base import Asked, Question, Split
from dltool.training.outputs import each

if TYPE_CHECKING:
    import pandas as pd

    from dltool.tasks.base import Answer

HOLDS = 0.5  # a label holds from more than this on
BETWEEN = ";"  # the labels that hold

Ask = Callable[[Any], Evaluated]  # of examples
AskEach = Callable[[Any], dict[str, Evaluated]]


# -- outputs without targets ---------------------------------------------------------------------------


def asks(question: Question) -> list[Ask]:
    """Return for each model a function of examples that gives its outputs, with zeros in place of targets."""
    facts = question.facts

    def ask(model: Any, run: str) -> Ask:
        forward = _forward(model, facts)
        return lambda x: without_targets(forward(x), model, facts, run)

    return [ask(model, run) for model, run in _named_models(question)]


def asks_of_several(question: Question) -> list[AskEach]:
    """Return the same as `asks` of models with several outputs: each by its name."""
    facts = question.facts

    def ask(model: Any, run: str) -> AskEach:
        forward, outputs = _forward(model, facts), each(model)

        def ask_each(x: Any) -> dict[str, Evaluated]:
            given = forward(x)
            return {
                name: without_targets(given[name], one, facts["targets"][name], run) for name, one in outputs.items()
            }

        return ask_each

    return [ask(model, run) for model, run in _named_models(question)]


def _named_models(question: Question) -> Iterator[tuple[Any, str]]:
    runs = question.runs or [f"model {number}" for number in range(1, len(question.models) + 1)]
    yield from zip(question.models, runs, strict=True)


def together(members: Sequence[Evaluated]) -> Evaluated:
    """Return the answer of several models: the mean of their probabilities, or else of their outputs.

    Raises:
        UsageError: they have outputs of several kinds.
    """
    if len(members) == 1:
        return members[0]
    _outputs.check_together(members)
    return replace(members[0], outputs=_outputs.mean_outputs(members))


def of_split(answer: Answer, split: Split) -> pd.DataFrame:
    """Return a row an example of a split: its index, where it comes from, and the answer to its inputs."""
    import pandas as pd

    word, places = split.data.origins(split.name)
    tables: list[pd.DataFrame] = []
    first = 0
    for x, _ in split.pipeline().batches():
        table = answer(x, places[first:])
        table.insert(0, word, places[first : first + len(table)])
        tables.append(table)
        first += len(table)
    table = pd.concat(tables, ignore_index=True)
    table.insert(0, "index", range(len(table)))
    return table


def without_targets(outputs: Any, model: Any, facts: Mapping[str, Any], run: str) -> Evaluated:
    """Return outputs of new examples, with zeros in place of targets."""
    outputs = np.asarray(outputs, np.float32)
    return Evaluated(run, "", np.zeros(len(outputs), np.int32), outputs, {}, model, **_outputs.of_facts(facts))


def _forward(model: Any, facts: Mapping[str, Any]) -> Any:
    """Return a model's main output at inference as one compiled function."""
    import tensorflow as tf

    columns = facts.get("features")

    @tf.function(reduce_retracing=True, autograph=False)
    def forward(x: Any) -> Any:
        main = _outputs.main_of(_outputs.outputs_of(model, x, columns))
        return tf.nest.map_structure(lambda one: tf.cast(one, tf.float32), main)

    return forward


# -- columns -------------------------------------------------------------------------------------------


def answers(evaluated: Evaluated, asked: Asked) -> pd.DataFrame:
    """Return a row an example: where it comes from, its target and the columns that are asked for.

    Columns: `index`, from 0 in the split; `file`, or `row`, from 0 in the file or the arrays that the split lies in;
    `target`, or `target_0`, ... of several numbers or steps; then those of `asked_columns`.
    """
    import pandas as pd

    word, places = evaluated.origin or ("row", range(len(evaluated.outputs)))
    columns = {"index": np.arange(len(evaluated.outputs)), word: list(places)}
    return pd.DataFrame(columns | _targets(evaluated) | asked_columns(evaluated, asked))


def asked_columns(evaluated: Evaluated, asked: Asked) -> dict[str, Any]:
    """Return the columns that are asked of answers.

    One class an example: `prediction` and `probability` of the likeliest, and of the next ones `prediction_2`, ...; or
    `prediction` and `probability_NAME` of each class. Labels: `prediction`, those that hold, and `probability_NAME` of
    each. Steps: `prediction_0`, ..., their classes, and `probability_0_NAME`, ... Other outputs: `prediction`, or
    `prediction_0`, ... Where scores are no probabilities, `score` stands in place of `probability`.
    """
    scores = evaluated.scores
    if evaluated.label_scores is not None:
        names = class_names(evaluated, evaluated.label_scores.shape[1])
        holds = evaluated.label_scores > HOLDS
        return {"prediction": _joined(holds, names)} | _of_each(evaluated, evaluated.label_scores, names)
    if scores is None:
        return _flat("prediction", evaluated.outputs)
    names = class_names(evaluated, scores.shape[-1])
    if not evaluated.is_classification:
        columns = _flat("prediction", scores.argmax(axis=-1), names)
        steps = scores.reshape(len(scores), -1, scores.shape[-1])
        for step in range(steps.shape[1] if asked.every else 0):
            columns |= _of_each(evaluated, steps[:, step], [f"{step}_{name}" for name in names])
        return columns
    if asked.every:
        predicted = _named(evaluated.predicted(), names)
        return {"prediction": predicted} | _of_each(evaluated, scores, names)
    return _best(scores, names, asked.top, word_of_scores(evaluated))


def check_asked(outputs: Sequence[Evaluated], asked: Asked) -> None:
    """Raise `UsageError` if answers are asked for that none of some outputs has."""
    if asked.top > 1 and not any(one.is_classification for one in outputs):
        kind = "numbers"
        if any(one.label_scores is not None for one in outputs):
            kind = "labels of which several may hold"
        elif any(one.scores is not None for one in outputs):
            kind = "classes of many steps"
        raise UsageError(f"--top: means nothing for {kind}. Leave it out.")
    if asked.every and all(one.scores is None and one.label_scores is None for one in outputs):
        raise UsageError("--probabilities: means nothing for numbers. Leave it out.")


def word_of_scores(evaluated: Evaluated) -> str:
    """Return "probability", or "score" where the outputs of classes are no probabilities."""
    return "probability" if evaluated.is_probable else "score"


def _targets(evaluated: Evaluated) -> dict[str, Any]:
    targets, scores = evaluated.targets, evaluated.scores
    if evaluated.label_scores is not None and targets.shape == evaluated.outputs.shape:
        return {"target": _joined(targets > HOLDS, class_names(evaluated, targets.shape[1]))}
    if evaluated.is_classification and scores is not None:
        return {"target": _named(evaluated.labels(), class_names(evaluated, scores.shape[1]))}
    if scores is not None and scores.ndim > 2:
        is_one_hot = targets.shape == scores.shape
        labels = targets.argmax(axis=-1) if is_one_hot else targets
        if labels.size == scores[..., 0].size:
            return _flat("target", labels, class_names(evaluated, scores.shape[-1]))
    return _flat("target", targets)


def _best(scores: np.ndarray, names: Sequence[str], top: int, word: str) -> dict[str, Any]:
    """Return the likeliest classes and their scores, as columns."""
    order = np.argsort(-scores, axis=1, kind="stable")[:, :top]
    columns: dict[str, Any] = {}
    for rank in range(order.shape[1]):
        end = f"_{rank + 1}" if rank else ""
        columns[f"prediction{end}"] = np.array(names, dtype=object)[order[:, rank]]
        columns[f"{word}{end}"] = np.take_along_axis(scores, order[:, rank : rank + 1], 1)[:, 0]
    return columns


def _of_each(evaluated: Evaluated, scores: np.ndarray, names: Sequence[str]) -> dict[str, Any]:
    word = word_of_scores(evaluated)
    return {f"{word}_{name}": scores[:, number] for number, name in enumerate(names)}


def _flat(word: str, values: np.ndarray, names: Sequence[str] | None = None) -> dict[str, Any]:
    """Return a column of values, or WORD_0, ... of several an example; by name where they are classes."""
    flat = values.reshape(len(values), -1)
    columns = [flat[:, number] if names is None else _named(flat[:, number], names) for number in range(flat.shape[1])]
    return {f"{word}_{number}" if len(columns) > 1 else word: one for number, one in enumerate(columns)}


def _joined(holds: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """Return the names of the labels of each example that hold, bool (examples, labels)."""
    found = np.full(len(holds), "", dtype=object)
    for number, name in enumerate(names):
        one = holds[:, number]
        found[one] = np.where(found[one] == "", name, found[one] + BETWEEN + name)
    return found


def class_names(evaluated: Evaluated, count: int) -> list[str]:
    """Return a name for each output, numbers for those beyond the classes and where classes have no names."""
    names = [str(name) for name in evaluated.class_names or ()][:count]
    return [*names, *map(str, range(len(names), count))]


def _named(labels: np.ndarray, names: Sequence[str]) -> list[str]:
    return [names[label] if 0 <= label < len(names) else str(label) for label in labels.astype(int).tolist()]
