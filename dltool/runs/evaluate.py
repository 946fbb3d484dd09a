"""Runs judged on a split of their own or of other data, and the mean of their outputs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dltool.data.facts import facts_of_targets
from dltool.errors import DataError, UsageError, messages, one_line
from dltool.recipe import plugins
from dltool.recipe.data import DEFAULT_BATCH_SIZE, Data, differing_fact, reading, selected
from dltool.recipe.reading import Recipe
from dltool.recipe.values import to_text
from dltool.runs import directory, opened, other_data
from dltool.runs.opened import OpenedRun
from dltool.runs.other_data import other_dataset
from dltool.tasks import base as tasks
from dltool.tasks._generation import Judge
from dltool.tasks.base import Asked, Judgement, Split

if TYPE_CHECKING:
    import pandas as pd

SPLITS = ("train", "validation", "test", "all")
READ_BY = ("features", "fill_values", "categories", "classes", "num_classes")  # facts by which runs read tables
ON_REQUEST = ("confusion",)  # tables that are large


@dataclass(frozen=True)
class Evaluation:
    """The options of an evaluation of runs.

    Args:
        split: train, validation, test or all; by default test where there is one.
        data: other data than the runs' own, as in a recipe.
        batch_size: examples at a time.
        device: "auto", "cpu" or "gpu".
        dropout_passes: answer with the mean of as many passes with dropout; None: one pass without.
        judged_by: the run of a classifier in whose features images that runs make are compared with the data's.
    """

    split: str | None = None
    data: str | None = None
    batch_size: int | None = None
    device: str = "auto"
    dropout_passes: int | None = None
    judged_by: Path | None = None

    def judge(self, paths: Sequence[Path]) -> list[Judgement]:
        """Return a judgement a run, then that of their mean where outputs of several are kept.

        Raises:
            UsageError, DataError: there is no such run or split, or the data do not fit a run.
        """
        runs = opened.finished([OpenedRun(path) for path in paths], directory.MODEL, "model")
        for run in runs:
            run.recipe, run.facts  # noqa: B018 - damaged files are reported before TensorFlow is loaded
            opened.check_dropout(run, self.dropout_passes)
        if self.data is not None:  # what is wrong with it likewise
            other_dataset(self.data, runs[0].recipe, runs[0].facts)
        opened.configure(runs, self.device)
        sources: dict[str, tuple[Data, str]] = {}
        judgements = [self._judged(run, sources) for run in runs]
        alike = len({type(one.outcome) for one in judgements}) == 1 and judgements[0].outcome is not None
        if len(judgements) > 1 and alike:
            mean = judgements[0].task.average(judgements)
            judgements += [] if mean is None else [mean]
        return judgements

    def _judged(self, run: OpenedRun, sources: dict[str, tuple[Data, str]]) -> Judgement:
        """Return how a run does; runs of the same data share what is read of them, in `sources`."""
        from dltool.training.fusion import fused_recurrence

        facts = other_data.facts_of(run.directory, run.recipe, run.model)
        fused_recurrence.fuse(run.model)
        opened.draw_dropout(run, self.dropout_passes)
        key = to_text([run.recipe.setting("data"), {fact: facts.get(fact) for fact in READ_BY}])
        key += str(run) if (run.directory / directory.VOCABULARY).is_dir() else ""
        if key not in sources:
            sources[key] = self._source(run, facts)
        source, name = sources[key]
        _check_fits(run, facts, source.facts)
        usual = run.recipe.setting("fit", "batch_size", default=DEFAULT_BATCH_SIZE)
        size = self.batch_size or source.evaluation_batch(usual)
        whole = source.splits.keys() == {"train"} and (self.split == "all" or self.data is not None)
        judge = self._judge(facts)
        split = Split(source, name, size, str(run), "all" if whole else name, facts, judge)
        split.pipeline()  # whose errors are not about the model
        messages.status(f"evaluating {run} on the {name} split ...")
        with source.explained(), _fitting(run):
            judgement = source.task.judge(run.model, split)
        if self.dropout_passes is not None:
            judgement.counted["dropout_passes"] = self.dropout_passes
        return judgement

    def _judge(self, facts: Mapping[str, Any]) -> Judge | None:
        """Return the classifier that compares images, for a run's facts of its data."""
        if self.judged_by is None:
            return None
        if not tasks.of(facts).compares_images:
            raise UsageError("--judge: means nothing for runs that make no images. Leave it out.")
        run, shape = OpenedRun(self.judged_by), facts.get("target_shape") or facts.get("input_shape")
        task = tasks.of(run.facts)
        if task.name != "classification" or list(run.facts.get("input_shape") or ()) != list(shape or ()):
            raise UsageError(f"--judge: {run} is no classifier of images of the shape {list(shape or ())}.")
        names = run.facts.get("class_names") or range(run.facts["num_classes"])
        return Judge(str(run), run.model, run.dataset.pixel_range, [str(name) for name in names])

    def _source(self, run: OpenedRun, facts: Mapping[str, Any]) -> tuple[Data, str]:
        """Return a run's own or other data, and the split of them to judge on."""
        read = {"rows": facts.get("rows"), "vocabulary": run.vocabulary}
        if self.data is None:
            source, name = _of_recipe(run.recipe, run.dataset.as_trained(facts), self.split, read)
        else:
            source, name = _of_other(other_dataset(self.data, run.recipe, facts), self.split, read)
        is_new = self.data is not None or (name != "train" and source.vocabulary is None)
        if is_new and (line := source.unseen(name)) is not None:
            messages.say(line)
        return source, name


def report(judgements: Sequence[Judgement], wanted: Sequence[str] = ()) -> dict[str, pd.DataFrame]:
    """Return tables of judgements: `scores`, a row a run, and the tasks' own, whose first column is the run.

    Args:
        wanted: names of large tables to be there too, such as confusion.
    """
    import pandas as pd

    rows: list[dict[str, Any]] = []
    tables: dict[str, list[pd.DataFrame]] = {}
    for one in judgements:
        rows.append({"run": one.run, "split": one.split, **one.counted, **one.figures})
        for name, table in one.tables.items():
            if name not in ON_REQUEST or name in wanted:
                named = table.copy()
                named.insert(0, "run", one.run, allow_duplicates=True)
                tables.setdefault(name, []).append(named)
    ordered = sorted(tables, key=ON_REQUEST.__contains__)  # large ones last
    return {"scores": pd.DataFrame(rows)} | {name: pd.concat(tables[name], ignore_index=True) for name in ordered}


def table_of_answers(judgements: Sequence[Judgement], asked: Asked) -> pd.DataFrame:
    """Return a row an example of the split that runs were judged on: where it comes from, target, their answer.

    Args:
        judgements: all that `Evaluation.judge` returned.
    Raises:
        UsageError: the runs do not answer together, or not at all.
    """
    first = judgements[0]
    for other in judgements[1:]:
        if other.task is not first.task:
            raise UsageError(f"--predictions: {other.run} and {first.run} are of different tasks. Give one of them.")
    with opened.answering(first.run):
        return first.task.table_of_answers(judgements, asked)


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


def _check_fits(run: OpenedRun, old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
    """Raise if the data are not of the kind that the run was trained on."""
    if not run.model.compiled or run.model.loss is None:
        raise DataError(f"{run.directory / directory.MODEL}: has no loss to evaluate. Train again.")
    task, other = tasks.of(old), tasks.of(new)
    if task is not other:
        message = f"targets differ in kind (the run's and the data's: {task.targets} and {other.targets})"
        raise DataError(f"{run}: {message}")
    other_data.check_has_columns(run.directory, old, new)
    if (name := differing_fact(old, new, ("input_shape", "inputs"))) is not None:
        raise DataError(f"{run}: was trained on data of {name} {old.get(name)}, these have {new.get(name)}")
    of_run, of_data = facts_of_targets(old), facts_of_targets(new)
    if of_run.keys() != of_data.keys():
        words = " and ".join(", ".join(names) for names in (of_run, of_data))
        raise DataError(f"{run}: targets differ (the run's and the data's: {words})")
    for name in of_run:
        _check_target(f"{run} for '{name}'" if name else str(run), of_run[name], of_data[name])
    if (problem := task.problem_of_outputs(run.model, new)) is not None:
        raise DataError(f"{run.directory / directory.MODEL}: {problem}")


def _check_target(whose: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
    """Raise if one target of the data has other classes or numbers than the run's."""
    if tasks.of(old) is not tasks.of(new):
        raise DataError(f"{whose}: targets differ in kind (the run's and the data's: {old['task']} and {new['task']})")
    name = differing_fact(old, new, ("num_targets", "class_names"))
    if name is not None:
        raise DataError(f"{whose}: was trained on data of {name} {old.get(name)}, these have {new.get(name)}")
    classes = new.get("num_classes")
    if classes is not None and classes > old["num_classes"]:
        raise DataError(f"{whose}: was trained on {old['num_classes']} classes, the data have {classes}")


@contextmanager
def _fitting(run: OpenedRun) -> Iterator[None]:
    """Raise Keras's complaint about a model that does not take these data, in one line."""
    try:
        yield
    except (ValueError, TypeError) as error:
        raise DataError(
            f"{run.directory / directory.MODEL}: does not fit the data: {plugins.place_in(error)}{one_line(error)}"
        ) from error
