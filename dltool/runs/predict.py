"""Answers of trained models for new examples, streamed batch by batch in the order of the inputs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from dltool.data.formats.table_file import Format
from dltool.data.inputs import arrays, images, tables
from dltool.data.inputs.base import STDIN, Reader
from dltool.errors import DataError, UsageError, messages, one_line
from dltool.recipe import catalogue, reading
from dltool.recipe.data import differing_fact
from dltool.runs import directory, opened, other_data
from dltool.runs.opened import OpenedRun
from dltool.tasks import base as tasks
from dltool.tasks.base import Asked

if TYPE_CHECKING:
    import pandas as pd

BATCH = 256  # examples at a time by default
LINES = 128  # of text at a time
SAME = ("input_shape", "num_classes", "class_names", "num_targets", "features", "inputs", "targets", "directions",
        "zero_shot")  # fmt: skip  # facts
DATASETS = ("Csv", "Npz", "ImageFolder")  # that --data may name


@dataclass
class Predictor:
    """Runs that answer together, as the mean of their probabilities or outputs.

    Args:
        runs: finished runs of one kind of data.
        device: "auto", "cpu" or "gpu".
        batch_size: examples at a time.
        asked: which answers.
    Raises:
        DataError: a run is unfinished, or the runs are of different data.
    """

    runs: Sequence[OpenedRun]
    device: str = "auto"
    batch_size: int | None = None
    asked: Asked = field(default_factory=Asked)

    def __post_init__(self) -> None:
        self.task.check_asked(self.asked)
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
        if self.task.reads_lines:
            if data is not None:
                raise UsageError("--data: runs of text answer lines. Give files, or - for standard input.")
            yield from self._of_lines(inputs, leave_out, stdin)
            return
        reader = self._reader(inputs, stdin) if data is None else self._reader_of(data)
        self.models  # noqa: B018 - TensorFlow is configured before a reader imports it
        for batch in reader.batches(self.batch_size or BATCH, leave_out):
            try:
                table = self.task.predict(self.models, batch.x, self.facts, self.asked, batch.places)
            except (ValueError, TypeError) as error:
                model = self.runs[0].directory / directory.MODEL
                raise DataError(f"{model}: does not take these inputs: {one_line(error)}") from error
            table.insert(0, reader.word, list(batch.places), allow_duplicates=True)
            yield table

    # -- inputs ----------------------------------------------------------------------------------------

    def _reader(self, inputs: Sequence[str], stdin: BinaryIO | None, given: Mapping[str, Any] | None = None) -> Reader:
        """Return the reader of inputs; `given` are arguments of the dataset that go before the run's own."""
        facts, settings = self.runs[0].facts, {**self._dataset(), **(given or {})}
        if "features" in facts:
            form = Format(settings.get("separator"), settings.get("decimal", "."), settings.get("missing"))
            return tables.TableRows(inputs, self.facts, form, stdin)
        shape = facts.get("input_shape")
        if "inputs" in facts:
            return arrays.ArrayFiles(inputs, {name: own["input_shape"] for name, own in facts["inputs"].items()})
        if shape is None:
            raise UsageError(f"{self.runs[0]}: its kind of data cannot be read again. Use --data.")
        if all(path.lower().endswith(arrays.SUFFIXES) for path in inputs):
            return arrays.ArrayFiles(inputs, shape)
        if STDIN in inputs:
            raise UsageError("-: pictures and arrays are not read from standard input. Give files.")
        low, high = self._range()
        try:
            return images.ImageFiles(
                inputs,
                shape,
                low=low,
                high=high,
                interpolation=settings.get("interpolation", "bilinear"),
                crop=settings.get("crop_to_aspect_ratio", False),
            )
        except ValueError as error:
            raise UsageError(f"{self.runs[0]}: {error}. Give an .npy or .npz file.") from error

    def _reader_of(self, data: str) -> Reader:
        """Return the reader of what a dataset in a recipe's words names as its files."""
        value = reading.from_text(data, "--data")
        name = reading.object_name(value)
        if name not in DATASETS:
            raise UsageError(
                f"--data '{data}': must be one of {', '.join(DATASETS)}, such as 'Csv: {{path: new.csv}}'."
            )
        body = value[name].plain() if value.is_mapping else None
        given = body if isinstance(body, Mapping) else {"path": body}
        path = given.get("path")
        if not isinstance(path, str):
            raise UsageError(f"--data '{data}': names no path, such as 'Csv: {{path: new.csv}}'.")
        return self._reader([path], None, given)

    def _dataset(self) -> dict[str, Any]:
        """Return the arguments of the dataset of the first run's recipe."""
        value = self.runs[0].recipe.section("data", "dataset")
        name = reading.object_name(value)
        body = value[name].plain() if value.is_mapping and name is not None else None
        return body if isinstance(body, dict) else {}

    def _range(self) -> tuple[float, float]:
        """Return the values of black and white in the data that the first run was trained on.

        Raises:
            UsageError: they are not known.
        """
        run = self.runs[0]
        name = reading.object_name(run.recipe.section("data", "dataset"))
        known = getattr(catalogue.find("datasets", name or ""), "pixel_range", None)
        if known is None:
            raise UsageError(
                f"{run}: was trained on numbers whose black and white are unknown. Give an .npy or .npz file."
            )
        return known

    # -- lines -----------------------------------------------------------------------------------------

    def _of_lines(
        self, inputs: Sequence[str], leave_out: Callable[[str], None], stdin: BinaryIO | None
    ) -> Iterator[pd.DataFrame]:
        from dltool.decoding import line_stream

        run = self.runs[0]
        try:
            answer = self.task.predict_lines(self.models, run.vocabulary, run.facts, self.asked)
        except ValueError as error:
            raise UsageError(f"{run}: {one_line(error)}") from error
        for name in inputs:
            shown = "standard input" if name == STDIN else name
            stream = stdin if name == STDIN else _opened(name, leave_out)
            if stream is None:
                continue
            for window in line_stream.windows(stream, shown, self.batch_size or LINES):
                for line in window:
                    if line.cut:
                        messages.say(f"{shown}:{line.number}: is too long and was cut.")
                table = answer([line.text for line in window])
                places = [line.number if len(inputs) == 1 else f"{name}:{line.number}" for line in window]
                table.insert(0, "line", places)
                yield table


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


def _opened(name: str, leave_out: Callable[[str], None]) -> BinaryIO | None:
    try:
        return Path(name).open("rb")
    except OSError as error:
        leave_out(f"{name}: {error.strerror}.")
        return None
