"""A recipe's dataset in splits, as pipelines of batches."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any

from dltool import build
from dltool.datasets import splits
from dltool.datasets.base import Dataset, StreamedDataset
from dltool.datasets.class_selection import with_classes
from dltool.errors import DataError, DltoolError, Problem, RecipeError
from dltool.recipe import Recipe

if TYPE_CHECKING:
    from dltool.pipelines.base import Pipeline
    from dltool.pipelines.in_memory import DeviceArrays

EVALUATION_BATCH = 512  # examples, for evaluation of arrays in memory; results do not depend on it
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
        split_arguments: those of `splits.split`.
    """

    def __init__(self, dataset: Dataset, **split_arguments: Any) -> None:
        self.dataset = dataset
        with reading():
            self.splits = splits.split(dataset, **split_arguments)
        self._each = split_arguments.get("examples_per_class")
        self._arrays: dict[str, DeviceArrays] = {}

    @classmethod
    def of(cls, recipe: Recipe, dataset: Dataset) -> Data:
        """The dataset of a recipe with the classes that its `data` section selects, as that splits it."""
        dataset = selected(recipe, dataset)
        section = recipe.section("data")
        arguments = {word: section[key].plain() for key, word in SPLIT_ARGUMENTS.items() if key in section.data}
        with reading():
            dataset.sizes()  # what is wrong with the files is not about the section's fractions
        try:
            return cls(dataset, **arguments)
        except DataError as error:
            if isinstance(error.__cause__, ValueError) and arguments:
                raise RecipeError([Problem(section.place, "data", str(error))]) from error
            raise

    @cached_property
    def facts(self) -> dict[str, Any]:
        """Facts of the dataset, and of each split its size."""
        with reading():
            facts = dict(self.dataset.facts())
        if self._each is not None:
            facts["examples_per_class"] = self._each
        return facts | {f"{name}_size": split.size for name, split in self.splits.items()}

    def pipeline(self, name: str, batch_size: int) -> Pipeline:
        """The batches of a split that the data have."""
        split = self.splits[name]
        with reading():
            indices = split.indices()
            if isinstance(self.dataset, StreamedDataset):
                from dltool.pipelines.streamed import Streamed

                return Streamed(self.dataset, split.part, indices, batch_size)
            from dltool.pipelines.in_memory import DeviceArrays, InMemory

            if split.part not in self._arrays:
                self._arrays[split.part] = DeviceArrays(self.dataset.read(split.part))
            return InMemory(self._arrays[split.part], indices, batch_size)

    def evaluation_batch(self, batch_size: int) -> int:
        """Examples at a time where nothing is trained."""
        return batch_size if isinstance(self.dataset, StreamedDataset) else max(batch_size, EVALUATION_BATCH)

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

        if isinstance(self.dataset, StreamedDataset):
            for part in dict.fromkeys(split.part for split in self.splits.values()):
                if (line := self.dataset.unreadable(part)) is not None:
                    return DataError(line)
        if isinstance(error, tf.errors.ResourceExhaustedError):
            return DltoolError("out of memory: lower the batch size or the model's size")
        return DataError(f"TensorFlow stopped: {build.one_line(error)}")


def selected(recipe: Recipe, dataset: Dataset) -> Dataset:
    """The dataset less the classes that the recipe's `data.classes` leaves out.

    Raises:
        RecipeError: there is no such class.
    """
    value = recipe.get("data", "classes")
    if value is None or value.data is None:
        return dataset
    with reading():
        dataset.facts()  # what is wrong with the files is not about the classes
    try:
        return with_classes(dataset, value.plain())
    except ValueError as error:
        raise RecipeError([Problem(value.place, "data.classes", str(error))]) from error


@contextmanager
def reading() -> Iterator[None]:
    """Errors of a dataset's reader become `DataError`."""
    try:
        yield
    except OSError as error:
        if error.filename is not None and error.errno is not None:
            raise DataError(f"{error.filename}: {error.strerror}") from error
        raise DataError(build.one_line(error)) from error
    except ValueError as error:
        raise DataError(build.one_line(error)) from error


def differing_fact(old: Mapping[str, Any], new: Mapping[str, Any], names: tuple[str, ...]) -> str | None:
    """The first of `names` in which two sets of facts differ, None if there is none; JSON has no tuples."""
    return next((name for name in names if _listed(old.get(name)) != _listed(new.get(name))), None)


def _listed(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
