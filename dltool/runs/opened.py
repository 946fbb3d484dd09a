"""A run opened for work: the one way from a run directory to its recipe, data, vocabulary and model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dltool.errors import DataError, DltoolError, UsageError, messages, one_line
from dltool.recipe import plugins, reading
from dltool.recipe.data import Data
from dltool.recipe.reading import Recipe
from dltool.runs import directory, resume
from dltool.runs.directory import RunDirectory
from dltool.tasks import base as tasks
from dltool.training import backend

if TYPE_CHECKING:
    from dltool.data.base import Dataset, Vocabulary


class OpenedRun:
    """A finished run. Its files are read when they are first asked for; `configure` comes before the model.

    Args:
        path: the run directory.
    Raises:
        DataError: there is no run, or later: a file that is asked for is missing or damaged.
    """

    def __init__(self, path: Path | str) -> None:
        self.directory = RunDirectory(Path(path))
        self.directory.check_is_run()

    def __str__(self) -> str:
        return str(self.directory)

    @cached_property
    def recipe(self) -> Recipe:
        """The recipe that the run was trained by."""
        return resume.own_recipe(self.directory)

    @cached_property
    def facts(self) -> dict[str, Any]:
        """Facts of the data as trained."""
        return self.directory.read_json(directory.DATA)

    @cached_property
    def vocabulary(self) -> Vocabulary | None:
        """The vocabulary of a run of text, None for other runs."""
        return resume.own_vocabulary(self.directory)

    @cached_property
    def dataset(self) -> Dataset:
        """The dataset of the run's recipe, read as training read it."""
        found: Dataset = resume.own_dataset(self.recipe, self.directory)
        return found

    @cached_property
    def data(self) -> Data:
        """The run's data, split as in training."""
        return Data.of(self.recipe, self.dataset, self.vocabulary)

    @cached_property
    def model(self) -> Any:
        """The selected Keras model."""
        return self.directory.load_model()


def finished(runs: Sequence[OpenedRun], file: str, what: str) -> list[OpenedRun]:
    """Return the runs that have a file; a line names each other, unless none has.

    Args:
        file: by its name in the run directory.
        what: the file holds, for the line.
    """
    found = [run for run in runs if (run.directory / file).exists()]
    if not found:
        return list(runs)  # the first says what is missing
    for run in runs:
        if run not in found:
            messages.say(f"{run}: has no {what}: its training failed, diverged or has not ended. It is left out.")
    return found


def configure(runs: Sequence[OpenedRun], device: str) -> None:
    """Configure TensorFlow for the models of runs: the device, and the dtype policy if all have the same.

    Args:
        device: "auto", "cpu" or "gpu".
    """
    policies = {run.recipe.setting("dtype_policy") for run in runs}
    backend.configure(device=device, dtype_policy=policies.pop() if len(policies) == 1 else None)


def check_dropout(run: OpenedRun, passes: int | None) -> None:
    """Raise `UsageError` if a mean of passes with dropout is asked of a task whose models answer in several steps."""
    task = tasks.of(run.facts)
    if passes is not None and not task.answers_in_one_pass:
        raise UsageError(f"--mc-dropout: means nothing for {task.name} ({run}). Leave it out.")


def draw_dropout(run: OpenedRun, passes: int | None) -> None:
    """Let a run's model answer with the mean of passes with dropout, drawn by the recipe's seed; None: leave it.

    Raises:
        UsageError: the model has no dropout.
    """
    if passes is None:
        return
    from dltool.training import dropout_passes

    try:
        dropout_passes.draw(run.model, passes, run.recipe.setting("seed", default=0))
    except ValueError as error:
        raise UsageError(f"--mc-dropout: {run.directory / directory.MODEL}: {error}. Leave it out.") from error


def recipe_file(source: str | Path) -> Path:
    """Return the file of a recipe that a command names by its file, its bundled name, or a run directory.

    Raises:
        UsageError: there is no such file.
    """
    return Path(source) / directory.RECIPE if is_run(source) else reading.find(source)


@contextmanager
def answering(model: str) -> Iterator[None]:
    """Report in one line why a model does not take some inputs.

    Raises:
        DataError: the block raised what Keras or TensorFlow raise.
        DltoolError: memory is short.
    """
    import tensorflow as tf

    try:
        yield
    except tf.errors.ResourceExhaustedError as error:
        raise DltoolError("out of memory: lower --batch-size") from error
    except DltoolError:
        raise
    except (ValueError, TypeError, tf.errors.OpError) as error:
        raise DataError(f"{model}: cannot answer these examples: {plugins.place_in(error)}{one_line(error)}") from error


def is_run(source: str | Path) -> bool:
    """Return whether a command's argument names a run directory rather than a recipe."""
    return reading.holds((Path(source) / directory.RECIPE).is_file)
