"""Answers of trained models for new examples, streamed batch by batch in the order of the inputs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, BinaryIO

from dltool.errors import DataError, UsageError, one_line
from dltool.recipe import catalogue, plugins, reading
from dltool.recipe.data import DEFAULT_BATCH_SIZE, differing_fact
from dltool.runs import directory, opened, other_data, resume
from dltool.runs.opened import OpenedRun
from dltool.tasks import base as tasks
from dltool.tasks._readers import Source
from dltool.tasks.base import Asked, Question

if TYPE_CHECKING:
    import pandas as pd

BATCH = 256  # examples at a time by default where they are small
SAME = ("input_shape", "num_classes", "class_names", "num_targets", "features", "inputs", "targets", "directions",
        "zero_shot", "multi_label")  # fmt: skip  # facts


@dataclass
class Predictor:
    """Runs that answer together, as the mean of their probabilities or outputs.

    Args:
        runs: finished runs of one kind of data.
        device: "auto", "cpu" or "gpu".
        batch_size: examples at a time.
        asked: which answers.
        dropout_passes: answer with the mean of as many passes with dropout; None: one pass without.
    Raises:
        UsageError: the task does not answer what is asked.
        DataError: a run is unfinished, or the runs are of different data.
    """

    runs: Sequence[OpenedRun]
    device: str = "auto"
    batch_size: int | None = None
    asked: Asked = field(default_factory=Asked)
    dropout_passes: int | None = None

    def __post_init__(self) -> None:
        self.task.check_asked(self.asked)
        for run in self.runs:
            opened.check_dropout(run, self.dropout_passes)
        first, *others = self.runs
        for other in others:
            name = differing_fact(other.facts, first.facts, SAME)
            alike = tasks.of(other.facts) is self.task and _files(other) == _files(first)
            if name is not None or not alike:
                what = name or ("vocabulary" if tasks.of(other.facts) is self.task else "task")
                raise DataError(
                    f"{other}: was trained on other data than {first} ({what}). They cannot answer together."
                )

    @property
    def task(self) -> tasks.Task:
        """The task of the first run."""
        return tasks.of(self.runs[0].facts)

    @cached_property
    def models(self) -> list[Any]:
        """The models, ready to answer."""
        opened.configure(self.runs, self.device)
        models = [run.model for run in self.runs]
        from dltool.training.fusion import fused_recurrence

        for run, model in zip(self.runs, models, strict=True):
            if not model.compiled or model.loss is None:
                raise DataError(
                    f"{run.directory / directory.MODEL}: has no loss, which says what its outputs are. Train again."
                )
            fused_recurrence.fuse(model)
            opened.draw_dropout(run, self.dropout_passes)
        return models

    @cached_property
    def facts(self) -> dict[str, Any]:
        """Facts of the first run's data, with the categories that its model knows."""
        run = self.runs[0]
        return other_data.facts_of(run.directory, run.recipe, self.models[0])

    def answers(
        self,
        inputs: Sequence[str],
        leave_out: Callable[[str], None],
        data: str | None = None,
        stdin: BinaryIO | None = None,
    ) -> Iterator[pd.DataFrame]:
        """Yield tables of answers, a row an example: its file or row, then the task's columns.

        Args:
            inputs: files, folders, patterns and archives as the task reads them; "-" is `stdin`.
            leave_out: takes a line on each input that cannot be read.
            data: a dataset in a recipe's words in place of inputs; what it says of targets is not read.
        Raises:
            UsageError: the inputs are of no kind that the runs answer.
            DataError: the model does not take them.
        """
        run = self.runs[0]
        self.task.reader(self._source(inputs, data, stdin, run.facts))  # bad usage is reported before TensorFlow loads
        reader = self.task.reader(self._source(inputs, data, stdin, self.facts))
        question = Question(self.models, self.facts, self.asked, run.vocabulary, [str(one) for one in self.runs])
        try:
            answer = self.task.answerer(question)
        except ValueError as error:
            raise UsageError(
                f"{run.directory / directory.MODEL}: cannot answer: {plugins.place_in(error)}{one_line(error)}"
            ) from error
        for batch in reader.batches(self.batch_size or self._usual_batch(), leave_out):
            with opened.answering(str(run.directory / directory.MODEL)):
                table = self.task.answer_batch(answer, batch, reader.word)
            yield table

    def _usual_batch(self) -> int:
        """Return the examples at a time: as in training where they are so large that they are read from files."""
        run = self.runs[0]
        if not getattr(self._dataset_class(), "is_streamed", False):
            return BATCH
        found: int = min(run.recipe.setting("fit", "batch_size", default=DEFAULT_BATCH_SIZE), BATCH)
        return found

    # -- inputs ----------------------------------------------------------------------------------------

    def _source(self, inputs: Sequence[str], data: str | None, stdin: BinaryIO | None, facts: dict[str, Any]) -> Source:
        """Return the new examples that inputs or --data name, and how they are written."""
        run = self.runs[0]
        arguments = resume.dataset_arguments(run.recipe.section("data", "dataset"))
        own = next(iter(arguments.values())) if isinstance(arguments, dict) else None
        source = Source(
            str(run), inputs, facts, stdin, own if isinstance(own, dict) else {},
            pixel_range=getattr(self._dataset_class(), "pixel_range", None),
            whole=self.asked.map,
        )  # fmt: skip
        return source if data is None else other_data.source_of(data, run.recipe, source)

    def _dataset_class(self) -> Any:
        """Return the class of the first run's dataset, None where it is not there."""
        name = reading.object_name(self.runs[0].recipe.section("data", "dataset"))
        try:
            return catalogue.find("datasets", name or "")
        except LookupError:
            return None


def split_arguments(arguments: Sequence[str]) -> tuple[list[OpenedRun], list[str]]:
    """Return the runs that arguments begin with, and the inputs after them.

    Raises:
        DataError: the first argument is no run.
    """
    runs = [OpenedRun(arguments[0])]
    rest = list(arguments[1:])
    while rest and opened.is_run(rest[0]):
        runs.append(OpenedRun(rest.pop(0)))
    return runs, rest


def _files(run: OpenedRun) -> dict[str, bytes]:
    """Return the files of a run's vocabulary, none where it has none."""
    return {} if run.vocabulary is None else run.vocabulary.files()
