"""dltool eval: runs on a split of their data or on other data; several are also averaged."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dltool.cli.requirement import Requirement
from dltool.errors import DataError, Mistakes, RequirementError, UsageError, messages, one_line
from dltool.errors.control_characters import visible
from dltool.output import table_layout, tables
from dltool.output.files import check_target, output
from dltool.recipe import reading as recipe
from dltool.recipe.data import Data, differing_fact, reading, selected
from dltool.recipe.reading import Recipe
from dltool.recipe.values import to_text
from dltool.runs import directory as runs
from dltool.runs import other_data, resume
from dltool.runs.directory import RunDirectory
from dltool.runs.other_data import other_dataset
from dltool.runs.preparation import DEFAULT_BATCH_SIZE
from dltool.training import backend
from dltool.training.predictions import (
    AVERAGE,
    Evaluated,
    Measured,
    average,
    classification,
    cross_entropy,
    evaluate,
    measure,
    outputs_problem,
    regression,
)

if TYPE_CHECKING:
    import pandas as pd

SPLITS = ("train", "validation", "test", "all")
WORDS = ("run", "split")  # columns of the scores that are no figures
READ_BY = ("features", "fill_values", "categories", "classes", "num_classes")  # facts by which runs read tables


def run(
    paths: Sequence[Path],
    *,
    split: str | None,
    data: str | None,
    require: Sequence[str],
    predictions: Path | None,
    per_class: bool,
    confusion: bool,
    overwrite: bool,
    batch_size: int | None,
    form: str,
    device: str,
    write: Callable[[str], None],
    say: Callable[[str], None],
) -> None:
    """Evaluate, write the report and the predictions, then check the requirements.

    Raises:
        RequirementError: a requirement is not met; the report is written all the same.
    """
    mistakes = Mistakes()
    requirements = []
    for text in require:
        with mistakes:
            requirements.append(Requirement.parse(text, with_mean=True))
    with mistakes:
        if split is not None and split not in SPLITS:
            raise UsageError(f"--split {split}: must be one of {', '.join(SPLITS)}")
    with mistakes:
        if per_class and confusion and form == "csv":
            raise UsageError("--format csv holds one table: choose --per-class or --confusion, or use --format json")
    with mistakes:
        check_target("--predictions", predictions, overwrite, inputs=_files(data))
    mistakes.finish()
    evaluated, classes = evaluate_runs(paths, split=split, data=data, batch_size=batch_size, device=device, say=say)
    report = sections(evaluated, classes, confusion)
    scores = report["scores"].to_dict("records")
    figures = [name for name in scores[0] if name not in WORDS]
    mistakes = Mistakes()
    for requirement in requirements:
        with mistakes:
            requirement.check_figure(figures)
            _judged(requirement, scores)
    mistakes.finish()
    section = "classes" if per_class else "confusion" if confusion else "scores"
    if section not in report:
        raise UsageError(f"--{'per-class' if per_class else section}: the runs are no classifiers")
    if predictions is not None:
        last = evaluated[-1]
        if isinstance(last, Measured):
            raise UsageError("--predictions: of text and sentences outputs for each token are not kept. Leave it away.")
        with output(predictions) as file:
            file.write(prediction_table(last, classes).to_csv(index=False, lineterminator="\n").encode())
    matrices = [] if form != "table" else _matrices(report.pop("confusion", None))
    write("\n".join([tables.render(report, form, section), *matrices]))
    unmet = [
        line
        for requirement in requirements
        for row in _judged(requirement, scores)
        if (line := requirement.unmet(row, row["run"]))
    ]
    if unmet:
        raise RequirementError(*unmet)


def _judged(requirement: Requirement, scores: Sequence[dict[str, Any]]) -> Sequence[dict[str, Any]]:
    """Return the rows that a requirement is about: all, or the average's; one run is its own average."""
    if not requirement.of_mean or len(scores) == 1:
        return scores
    if scores[-1]["run"] != AVERAGE:
        raise UsageError(f"--require '{requirement.text}': outputs of these runs are not averaged. Leave out 'mean:'.")
    return scores[-1:]


def _matrices(confusion: pd.DataFrame | None) -> list[str]:
    """Return the confusion matrix of each run as text for people."""
    if confusion is None:
        return []
    classes = [messages.as_shown(visible(str(name)), sys.stdout) for name in confusion.columns[2:]]
    found = []
    for run_, rows in confusion.groupby(confusion.iloc[:, 0], sort=False):
        title = f"confusion of {visible(str(run_))}"
        found.append(table_layout.matrix(title, classes, rows.iloc[:, 2:].to_numpy().tolist(), tables.width_of()))
    return found


def evaluate_runs(
    paths: Sequence[Path],
    *,
    split: str | None,
    data: str | None,
    batch_size: int | None,
    device: str,
    say: Callable[[str], None],
) -> tuple[list[Evaluated | Measured], list[str]]:
    """Each run's outputs and figures, then those of the average of several with outputs; and the classes' names.

    Args:
        say: takes a line for the user, such as on categories that training never saw.
    """
    directories = [RunDirectory(path) for path in paths]
    for directory in directories:
        directory.check_is_run()
    directories = _finished(directories, say)
    recipes = [resume.own_recipe(directory) for directory in directories]
    trained = [directory.read_json(runs.DATA) for directory in directories]
    if data is not None:
        other_dataset(data, recipes[0], trained[0])  # what is wrong with it comes before TensorFlow is loaded
    policies = {one.setting("dtype_policy") for one in recipes}
    backend.configure(device=device, dtype_policy=policies.pop() if len(policies) == 1 else None)
    from dltool.training.fusion import fused_recurrence

    evaluated: list[Evaluated | Measured] = []
    sources: dict[str, tuple[Data, str]] = {}
    for directory, one in zip(directories, recipes, strict=True):
        model = directory.load_model()
        facts = other_data.facts_of(directory, one, model)
        fused_recurrence.fuse(model)
        kept = {fact: facts.get(fact) for fact in READ_BY}
        key = to_text([one.setting("data"), kept])
        key += str(directory) if (directory / runs.VOCABULARY).is_dir() else ""
        if key not in sources:
            read = {"rows": facts.get("rows"), "vocabulary": resume.own_vocabulary(directory)}
            if data is None:
                sources[key] = _of_recipe(one, resume.own_dataset(one, directory).as_trained(facts), split, read)
            else:
                sources[key] = _of_other(other_dataset(data, one, facts), split, read)
            source, name = sources[key]
            read_anew = data is not None or (name != "train" and source.vocabulary is None)
            if read_anew and (line := source.unseen(name)) is not None:
                say(line)
        source, name = sources[key]
        _check_fits(directory, model, facts, source.facts)
        size = batch_size or source.evaluation_batch(one.setting("fit", "batch_size", default=DEFAULT_BATCH_SIZE))
        pipeline = source.pipeline(name, size)
        messages.status(f"evaluating {directory} on the {name} split ...")
        whole = source.splits.keys() == {"train"} and (split == "all" or data is not None)
        with source.explained(), _fitting(directory):
            split_ = "all" if whole else name
            if source.is_text:
                counted = {"tokens": source.facts[f"{name}_tokens"]}
                evaluated.append(Measured(str(directory), split_, counted, measure(model, pipeline)))
            elif source.is_translation:
                evaluated.append(_of_directions(source, name, size, model, str(directory), split_))
            else:
                columns, classes = facts.get("features"), facts.get("num_classes")
                outcome = evaluate(model, pipeline, str(directory), split_, columns, classes)
                outcome.origin = source.origins(name)
                evaluated.append(outcome)
    outputs = [one for one in evaluated if isinstance(one, Evaluated)]
    if not outputs:
        return evaluated, []
    if len(outputs) > 1 and len(outputs) == len(evaluated):
        evaluated.append(average(outputs))
    first = outputs[0]
    named = trained[0].get("class_names")
    if named is None and first.is_classification and first.scores is not None:
        named = range(first.scores.shape[-1])
    return evaluated, [str(name) for name in named or ()]


def _of_directions(source: Data, name: str, size: int, model: Any, run_: str, split: str) -> Measured:
    """Figures over a split of sentences and over each direction of it; BLEU, chrF and exact matches by beam search.

    Those of several directions are means: over the trained ones, and over those never trained.
    """
    from statistics import fmean

    from dltool.decoding import translation_scores
    from dltool.decoding.sentence_translator import SentenceTranslator
    from dltool.training.evaluation import Evaluation

    trained, unseen = source.facts["directions"], source.facts["zero_shot"]
    evaluation = Evaluation(model)  # one trace serves all directions
    figures = evaluation.run(source.pipeline(name, size))
    vocabularies: Any = source.vocabulary
    translator = SentenceTranslator(model, vocabularies, longest_source=source.facts["max_length"])
    rows: list[dict[str, Any]] = []
    for direction in [*trained, *unseen]:
        pipeline = source.direction(name, direction, size)
        sentences, references, language = source.sentences(name, direction)
        texts = [best[0].text for best in translator(sentences, language)[0]]
        found = translation_scores.scores(texts, references)
        of_tokens = evaluation.run(pipeline) if len(trained) + len(unseen) > 1 else {}
        row = {"direction": direction, "zero_shot": direction in unseen, "examples": pipeline.size}
        rows.append({**row, **of_tokens, **found})
    for kind, directions in (("", trained), ("zero_shot_", unseen)):
        for figure in translation_scores.FIGURES if directions else ():
            figures[f"{kind}{figure}"] = fmean(row[figure] for row in rows if row["direction"] in directions)
    return Measured(run_, split, {"examples": source.splits[name].size}, figures, rows if len(rows) > 1 else [])


def sections(
    evaluated: Sequence[Evaluated | Measured], classes: Sequence[str], confusion: bool
) -> dict[str, pd.DataFrame]:
    """Scores a run; for classifiers also figures a class and, if asked for, the confusion matrix; for translations
    of several directions figures a direction.
    """
    import pandas as pd

    rows, tables_, matrices = [], [], []
    directions = [{"run": one.run, **row} for one in evaluated if isinstance(one, Measured) for row in one.directions]
    for one in evaluated:
        if isinstance(one, Measured):
            rows.append({"run": one.run, "split": one.split, **one.counted, **one.figures})
            continue
        row = {"run": one.run, "split": one.split, "examples": len(one.targets), **one.figures}
        if one.is_classification:
            summary, table, matrix = classification(one, classes)
            row |= summary
            table.insert(0, "run", one.run)
            matrix.insert(0, "run", one.run, allow_duplicates=True)
            tables_.append(table)
            matrices.append(matrix)
        elif cross_entropy(one.model) is None:
            row |= regression(one)
        rows.append(row)
    report = {"scores": pd.DataFrame(rows)}
    if tables_:
        report["classes"] = pd.concat(tables_, ignore_index=True)
    if directions:
        report["directions"] = pd.DataFrame(directions)
    if matrices and confusion:
        report["confusion"] = pd.concat(matrices, ignore_index=True)
    return report


def _files(data: str | None) -> list[Path]:
    """The files and folders that --data names."""
    values = [] if data is None else [value.data for _, value in recipe.from_text(data, "--data").walk()]
    return [Path(value) for value in values if isinstance(value, str) and value and recipe.holds(Path(value).exists)]


def _finished(directories: Sequence[RunDirectory], say: Callable[[str], None]) -> list[RunDirectory]:
    """Return the runs that have a model; a line names each other, unless none has."""
    finished = [one for one in directories if (one / runs.MODEL).exists()]
    if not finished:
        return list(directories)  # the first says what is missing
    for one in directories:
        if one not in finished:
            say(f"{one}: has no model: its training failed, diverged or has not ended. It is left out.")
    return finished


def prediction_table(evaluated: Evaluated, classes: Sequence[str]) -> pd.DataFrame:
    """A row an example: where it comes from, target and prediction, and of a classifier a probability a class.

    Columns: `index`, from 0 in the split; `file`, or `row`, from 0 in the file or the arrays that the split lies in;
    `target` and `prediction`, by class names where the data have them; `probability_NAME` of each class, or
    `score_NAME` where outputs are no probabilities. Of other outputs `target` and `prediction`, or `target_0`, ... of
    several.
    """
    import numpy as np
    import pandas as pd

    if evaluated.is_classification and evaluated.scores is not None:
        outputs = evaluated.scores
        word = "score" if evaluated.probabilities is None else "probability"
        count = outputs.shape[1]
        names = [*classes[:count], *map(str, range(len(classes), count))]
        columns: dict[str, Any] = {"target": _named(evaluated.labels(), names)}
        columns["prediction"] = _named(evaluated.predicted(), names)
        columns |= {f"{word}_{name}": outputs[:, i] for i, name in enumerate(names)}
    else:
        targets = evaluated.targets.reshape(len(evaluated.targets), -1)
        outputs = evaluated.outputs.reshape(len(evaluated.outputs), -1)
        columns = {_numbered("target", i, targets): targets[:, i] for i in range(targets.shape[1])}
        columns |= {_numbered("prediction", i, outputs): outputs[:, i] for i in range(outputs.shape[1])}
    word, places = evaluated.origin or ("row", range(len(outputs)))
    return pd.DataFrame({"index": np.arange(len(outputs)), word: list(places), **columns})


def _named(labels: Any, names: Sequence[str]) -> list[str]:
    return [names[label] if 0 <= label < len(names) else str(label) for label in labels.tolist()]


def _numbered(word: str, index: int, array: Any) -> str:
    return f"{word}_{index}" if array.shape[1] > 1 else word


def _of_recipe(one: Recipe, dataset: Any, split: str | None, read: Mapping[str, Any]) -> tuple[Data, str]:
    """The data of a run's recipe and the split to evaluate; `read`: how text is read, as `Data` takes it."""
    if split == "all":
        return _whole(selected(one, dataset), read), "train"
    return _split_of(Data.of(one, dataset, read["vocabulary"]), split)


def _of_other(dataset: Any, split: str | None, read: Mapping[str, Any]) -> tuple[Data, str]:
    """Other data and the split to evaluate: by default their test part, or all where they have none."""
    with reading():
        parts = dataset.sizes()
    if split == "all" or (split is None and "test" not in parts):
        return _whole(dataset, read), "train"
    return _split_of(Data(dataset, **read), split)


def _split_of(source: Data, split: str | None) -> tuple[Data, str]:
    name = split or ("test" if "test" in source.splits else "train")
    if name not in source.splits:
        raise UsageError(f"--split {name}: the data have no such split. They have: {', '.join(source.splits)}.")
    return source, name


def _whole(dataset: Any, read: Mapping[str, Any]) -> Data:
    """Everything as one split."""
    with reading():
        parts = dataset.sizes()
    if set(parts) != {"train"}:
        raise UsageError(f"--split all: the data come in parts; choose one of {', '.join(parts)}")
    return Data(dataset, **read, test_split=0.0)


def _check_fits(directory: RunDirectory, model: Any, old: dict[str, Any], new: dict[str, Any]) -> None:
    """Raise if the data are not of the kind that the run was trained on."""
    if not model.compiled or model.loss is None:
        raise DataError(f"{directory / runs.MODEL}: has no loss to evaluate. Train again.")
    if ("directions" in old) != ("directions" in new):
        raise DataError(f"{directory}: either the run or the data are about translation, not both")
    for kind in ("num_classes", "num_targets"):
        if (kind in old) != (kind in new):
            words = " and ".join("classes" if "num_classes" in facts else "numbers" for facts in (old, new))
            raise DataError(f"{directory}: targets differ in kind (the run's and the data's: {words})")
    other_data.check_has_columns(directory, old, new)
    name = differing_fact(old, new, ("input_shape", "num_targets", "class_names"))
    if name is not None:
        raise DataError(f"{directory}: was trained on data of {name} {old.get(name)}, these have {new.get(name)}")
    classes = new.get("num_classes")
    if classes is not None and classes > old["num_classes"]:
        raise DataError(f"{directory}: was trained on {old['num_classes']} classes, the data have {classes}")
    if (problem := outputs_problem(model, classes)) is not None:
        raise DataError(f"{directory / runs.MODEL}: {problem}")


@contextmanager
def _fitting(directory: RunDirectory) -> Iterator[None]:
    """What Keras says of a model that does not take these data, in one line."""
    try:
        yield
    except (ValueError, TypeError) as error:
        raise DataError(f"{directory / runs.MODEL}: does not fit the data: {one_line(error)}") from error
