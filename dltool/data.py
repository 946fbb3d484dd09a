"""A recipe's dataset in splits, as pipelines of batches."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any

from dltool import build
from dltool.datasets import splits
from dltool.datasets.base import Dataset, StreamedDataset
from dltool.datasets.translation import TranslationDataset
from dltool.errors import DataError, DltoolError, Problem, RecipeError
from dltool.recipe import Recipe

if TYPE_CHECKING:
    from dltool.datasets.sentence_pieces import Vocabularies
    from dltool.datasets.token_pairs import Pairs
    from dltool.pipelines.base import Pipeline

EVALUATION_BATCH = 512  # examples, for evaluation of arrays in memory; results do not depend on it
SPLIT_ARGUMENTS = {"validation_split": "validation_split", "test_split": "test_split", "split_seed": "seed"}


class Data:
    """A dataset in splits.

    Args:
        dataset: the dataset.
        vocabularies: of sentences, what to read them in; by default learned from the training split.
        split_arguments: `validation_split`, `test_split` and `seed` of `splits.split`.
    """

    def __init__(self, dataset: Dataset, *, vocabularies: Vocabularies | None = None, **split_arguments: Any) -> None:
        with reading():
            if vocabularies is not None and isinstance(dataset, TranslationDataset):
                dataset = dataset.with_vocabularies(vocabularies)
            self.dataset = dataset.divided(**split_arguments) or dataset
            self.splits = splits.split(self.dataset, **split_arguments)
        self._arrays: dict[str, Any] = {}

    @classmethod
    def of(cls, recipe: Recipe, dataset: Dataset, vocabularies: Vocabularies | None = None) -> Data:
        """The dataset of a recipe as its `data` section splits it.

        Args:
            vocabularies: a run's own, for its sentences; None: they are learned from the training split.
        """
        section = recipe.section("data")
        arguments = {word: section[key].plain() for key, word in SPLIT_ARGUMENTS.items() if key in section.data}
        with reading():
            dataset.sizes()  # what is wrong with the files is not about the section's fractions
        try:
            return cls(dataset, vocabularies=vocabularies, **arguments)
        except DataError as error:
            if isinstance(error.__cause__, ValueError) and arguments:
                raise RecipeError([Problem(section.place, "data", str(error))]) from error
            raise

    @cached_property
    def facts(self) -> dict[str, Any]:
        """Facts of the dataset, and of each split its size."""
        with reading():
            facts = dict(self.dataset.facts())
        return facts | {f"{name}_size": split.size for name, split in self.splits.items()}

    def pipeline(self, name: str, batch_size: int) -> Pipeline:
        """The batches of a split that the data have."""
        split = self.splits[name]
        with reading():
            indices = split.indices()
            if isinstance(self.dataset, TranslationDataset):
                return self._bucketed(split.part, self.dataset.read(split.part), batch_size)
            if isinstance(self.dataset, StreamedDataset):
                from dltool.pipelines.streamed import Streamed

                return Streamed(self.dataset, split.part, indices, batch_size)
            from dltool.pipelines.in_memory import DeviceArrays, InMemory

            if split.part not in self._arrays:
                self._arrays[split.part] = DeviceArrays(self.dataset.read(split.part))
            return InMemory(self._arrays[split.part], indices, batch_size)

    def direction(self, name: str, direction: str, batch_size: int) -> Pipeline:
        """The batches of a split of sentences in one direction, such as en-de."""
        assert isinstance(self.dataset, TranslationDataset)
        part = self.splits[name].part
        with reading():
            return self._bucketed(f"{part} {direction}", self.dataset.pairs(part, direction), batch_size)

    def _bucketed(self, key: str, pairs: Pairs, batch_size: int) -> Pipeline:
        from dltool.pipelines.bucketed import Bucketed, DevicePairs

        if key not in self._arrays:
            self._arrays[key] = DevicePairs(pairs)
        return Bucketed(self._arrays[key], None, batch_size)

    @property
    def is_translation(self) -> bool:
        return isinstance(self.dataset, TranslationDataset)

    @property
    def vocabularies(self) -> Vocabularies | None:
        """Of sentences, None of other data."""
        if not isinstance(self.dataset, TranslationDataset):
            return None
        with reading():
            return self.dataset.vocabularies

    def evaluation_batch(self, batch_size: int) -> int:
        """Examples at a time where nothing is trained."""
        as_trained = isinstance(self.dataset, StreamedDataset | TranslationDataset)  # outputs of tokens are large
        return batch_size if as_trained else max(batch_size, EVALUATION_BATCH)

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
