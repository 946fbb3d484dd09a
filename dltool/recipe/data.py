"""A recipe's dataset in splits, as pipelines of batches."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any

from dltool.data import splits
from dltool.data.base import Batching, Dataset
from dltool.data.class_selection import with_classes
from dltool.data.generation import with_noise_as_inputs
from dltool.data.reconstruction import with_inputs_as_targets
from dltool.errors import DataError, DltoolError, Problem, RecipeError, UsageError, messages, one_line
from dltool.errors.damage import DamagedFileError
from dltool.recipe import absent_data
from dltool.recipe.reading import Recipe
from dltool.tasks import base as tasks

if TYPE_CHECKING:
    import numpy as np

    from dltool.data.base import Vocabulary
    from dltool.data.pipelines.base import Pipeline
    from dltool.tasks.base import Task

DEFAULT_BATCH_SIZE = 32  # as keras.Model.fit
SPLIT_ARGUMENTS = {  # key of the recipe's data section -> argument of splits.split
    "validation_split": "validation_split",
    "test_split": "test_split",
    "split_seed": "seed",
    "examples_per_class": "examples_per_class",
}


class Data:
    """A dataset in splits.

    Args:
        dataset: the dataset.
        rows: of a text, how many parts of it a model with a state reads side by side; None: it has no state.
        batch_tokens: of translations, target tokens in a batch to train on; None: batches are counted in sentences.
        vocabulary: of text, what to read it in; by default learned from its training split.
        split_arguments: those of `splits.split`.
    """

    def __init__(
        self,
        dataset: Dataset,
        *,
        rows: int | None = None,
        batch_tokens: int | None = None,
        vocabulary: Vocabulary | None = None,
        **split_arguments: Any,
    ) -> None:
        drawn = {key: value for key, value in split_arguments.items() if key != "examples_per_class"}
        with reading():
            if vocabulary is not None:
                dataset = dataset.with_vocabulary(vocabulary)
            self.dataset = dataset.divided(**drawn) or dataset
            self.splits = splits.split(self.dataset, **split_arguments)
        self.rows, self.batch_tokens = rows, batch_tokens
        self._each = split_arguments.get("examples_per_class")
        self._arrays: dict[str, Any] = {}  # of each stored part what its pipelines share

    @classmethod
    def of(cls, recipe: Recipe, dataset: Dataset, vocabulary: Vocabulary | None = None) -> Data:
        """The dataset of a recipe with the classes that its `data` section selects, as that splits it.

        Args:
            vocabulary: a run's own, for its text; None: it is learned from the training split.
        """
        messages.status(f"reading the data: {type(dataset).__name__} ...")
        with reading():
            absent_data.check(recipe, dataset)
        dataset = selected(recipe, dataset)
        section = recipe.section("data")
        if dataset.is_continuous and "split_seed" in section.data:
            message = "a text is cut in order, nothing is drawn. Remove it."
            raise RecipeError([Problem(section["split_seed"].place, "data.split_seed", message)])
        batch_tokens = recipe.get("fit", "batch_tokens")
        if batch_tokens is not None and batch_tokens.data is not None:
            problem = dataset.problem_of_batch_tokens()
            if problem is not None:
                raise RecipeError([Problem(batch_tokens.key or batch_tokens.place, "fit.batch_tokens", problem)])
        shuffle = recipe.get("fit", "shuffle")
        if shuffle is not None and shuffle.data is False and (argument := dataset.redrawn_by) is not None:
            message = f"false leaves every epoch the same, which '{argument}' redraws. Remove one of them."
            raise RecipeError([Problem(shuffle.key or shuffle.place, "fit.shuffle", message)])
        arguments = {word: section[key].plain() for key, word in SPLIT_ARGUMENTS.items() if key in section.data}
        rows = rows_of(recipe) if dataset.is_continuous else None
        with reading():
            dataset.sizes()  # what is wrong with the files is not about the section's fractions
            dataset.check_for_training()
        try:
            tokens = None if batch_tokens is None else batch_tokens.data
            return cls(dataset, rows=rows, batch_tokens=tokens, vocabulary=vocabulary, **arguments)
        except DataError as error:
            if isinstance(error.__cause__, ValueError) and arguments and not isinstance(error, DamagedFileError):
                raise RecipeError([Problem(section.place, "data", str(error))]) from error
            raise

    @cached_property
    def facts(self) -> dict[str, Any]:
        """Facts of the dataset, and of each split its size."""
        with reading():
            facts = {**self.dataset.facts(), "task": self.dataset.task}
        if self._each is not None:
            facts["examples_per_class"] = self._each
        if self.rows is not None:
            facts["rows"] = self.rows  # the batch size that a model with a state is built for
        if self.train_batches is not None:
            facts["train_batches"] = self.train_batches
        return facts | {f"{name}_size": split.size for name, split in self.splits.items()}

    @cached_property
    def train_batches(self) -> int | None:
        """Batches of an epoch where they are counted by tokens, None where by examples."""
        if self.batch_tokens is None:
            return None
        with reading():
            return self.dataset.batches_by_tokens(self.splits["train"].part, self.batch_tokens)

    @property
    def task(self) -> Task:
        """The kind of problem that the data pose."""
        with reading():
            return tasks.find(self.dataset.task)

    @property
    def vocabulary(self) -> Vocabulary | None:
        """The vocabulary of text, None for other data."""
        with reading():
            found: Vocabulary | None = self.dataset.vocabulary
            return found

    def unseen(self, name: str) -> str | None:
        """One line that counts what training never saw in a split, or None."""
        split = self.splits[name]
        with reading():
            return self.dataset.unseen(split.part, split.indices())

    def class_counts(self, name: str) -> np.ndarray | None:
        """Return how many targets of a split each class has, int (classes,); None where there is not one an example."""
        split = self.splits[name]
        with reading():
            return self.dataset.class_counts(split.part, split.indices())

    def hints(self) -> list[str]:
        """Return what a user who trains on the data should know, one line each."""
        with reading():
            return self.dataset.hints()

    def origins(self, name: str) -> tuple[str, list[Any]]:
        """Return where each example of a split comes from: "file" and names, or "row" and numbers from 0."""
        split = self.splits[name]
        with reading():
            word, places = self.dataset.origins(split.part)
            indices = split.indices()
        return word, list(places) if indices is None else [places[index] for index in indices]

    def pipeline(self, name: str, batch_size: int, training: bool = False) -> Pipeline:
        """The batches of a split that the data have.

        Args:
            training: whether they are to train on: of a text then windows of equal length, cut elsewhere each epoch.
        Raises:
            UsageError: a model with a state takes batches of another size.
        """
        split = self.splits[name]
        if self.rows is not None and batch_size != self.rows:
            raise UsageError(
                f"a batch size of {batch_size} does not fit: the model keeps the state of {self.rows} rows."
            )
        with reading():
            return self.dataset.pipeline(split.part, split.indices(), self.batching(batch_size, training))

    def batching(self, batch_size: int, training: bool = False) -> Batching:
        """Return how the data's examples are put into batches of this size."""
        return Batching(batch_size, training, self.rows, self.batch_tokens, self._arrays)

    def evaluation_batch(self, batch_size: int) -> int:
        """Examples at a time where nothing is trained."""
        return self.dataset.evaluation_batch(batch_size)

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Errors of TensorFlow's kernels in one line: a broken file, memory, or what the kernel says."""
        import tensorflow as tf

        try:
            yield
        except tf.errors.OpError as error:
            raise self._explanation(error) from error

    def _explanation(self, error: Exception) -> DltoolError:
        import tensorflow as tf

        for part in dict.fromkeys(split.part for split in self.splits.values()):
            if (line := self.dataset.unreadable(part)) is not None:
                return DataError(line)
        if isinstance(error, tf.errors.ResourceExhaustedError):
            return DltoolError("out of memory: lower the batch size or the model's size")
        return DataError(f"TensorFlow stopped: {one_line(error)}")


def selected(recipe: Recipe, dataset: Dataset) -> Dataset:
    """Return the classes that `data.classes` selects, as the data's `targets` or `inputs` say.

    With `targets: inputs` the inputs are targets as well; with `inputs: {noise: 64}` noise takes their place.

    Raises:
        RecipeError: there is no such class, or the inputs can't be targets.
    """
    dataset = _with_classes(recipe, dataset)
    given = {key: recipe.get("data", key) for key in ("targets", "inputs")}
    asked = {key: value for key, value in given.items() if value is not None and value.data is not None}
    if not asked:
        return dataset
    key, value = asked.popitem()
    if asked:
        message = "the targets are the images already, of which noise is the input. Remove 'targets'."
        raise RecipeError([Problem(value.key or value.place, f"data.{key}", message)])
    with reading():
        dataset.facts()
    try:
        return with_inputs_as_targets(dataset) if key == "targets" else with_noise_as_inputs(dataset, **value.plain())
    except ValueError as error:
        raise RecipeError([Problem(value.place, f"data.{key}", str(error))]) from error


def _with_classes(recipe: Recipe, dataset: Dataset) -> Dataset:
    value = recipe.get("data", "classes")
    if value is None or value.data is None:
        return dataset
    with reading():
        dataset.facts()  # what is wrong with the files is not about the classes
    try:
        return with_classes(dataset, value.plain())
    except ValueError as error:
        raise RecipeError([Problem(value.place, "data.classes", str(error))]) from error


def rows_of(recipe: Recipe) -> int | None:
    """The batch size of a recipe whose model has a layer with `stateful: true`, else None."""
    stateful = any(
        path.rpartition(".")[2] == "stateful" and value.data is True for path, value in recipe.section("model").walk()
    )
    return recipe.setting("fit", "batch_size", default=DEFAULT_BATCH_SIZE) if stateful else None


@contextmanager
def reading() -> Iterator[None]:
    """Errors of a dataset's reader become `DataError`."""
    try:
        yield
    except DltoolError:
        raise
    except OSError as error:
        if error.filename is not None and error.errno is not None:
            raise DataError(f"{error.filename}: {error.strerror}") from error
        raise DataError(one_line(error)) from error
    except ValueError as error:
        raise DataError(one_line(error)) from error


def differing_fact(old: Mapping[str, Any], new: Mapping[str, Any], names: tuple[str, ...]) -> str | None:
    """The first of `names` in which two sets of facts differ, None if there is none; JSON has no tuples."""
    return next((name for name in names if _listed(old.get(name)) != _listed(new.get(name))), None)


def _listed(value: Any) -> Any:
    """Return a fact as JSON gives it back."""
    if isinstance(value, Mapping):
        return {key: _listed(item) for key, item in value.items()}
    return [_listed(item) for item in value] if isinstance(value, list | tuple) else value
