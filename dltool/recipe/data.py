"""A recipe's dataset in splits, as pipelines of batches."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any

from dltool.data import splits
from dltool.data.base import Dataset, StreamedDataset, TokenDataset
from dltool.data.class_selection import with_classes
from dltool.data.texts import TextDataset
from dltool.data.translation import TranslationDataset
from dltool.errors import DataError, DltoolError, Problem, RecipeError, UsageError, messages, one_line
from dltool.errors.damage import DamagedFileError
from dltool.recipe import absent_data
from dltool.recipe.reading import Recipe

if TYPE_CHECKING:
    import numpy as np

    from dltool.data.base import Vocabulary
    from dltool.data.pipelines.base import Pipeline
    from dltool.data.token_pairs import Pairs

DEFAULT_BATCH_SIZE = 32  # as keras.Model.fit
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
            if vocabulary is not None and isinstance(dataset, TokenDataset):
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
        if isinstance(dataset, TextDataset) and "split_seed" in section.data:
            message = "a text is cut in order, nothing is drawn. Remove it."
            raise RecipeError([Problem(section["split_seed"].place, "data.split_seed", message)])
        batch_tokens = recipe.get("fit", "batch_tokens")
        if batch_tokens is not None and batch_tokens.data is not None:
            message = ""
            if not isinstance(dataset, TranslationDataset):
                message = "counts the tokens of translations, which these data are not. Use batch_size."
            elif dataset.bpe_dropout:
                message = "needs sentences of the same length each epoch, which 'bpe_dropout' changes. Use batch_size."
            if message:
                raise RecipeError([Problem(batch_tokens.key or batch_tokens.place, "fit.batch_tokens", message)])
        shuffle = recipe.get("fit", "shuffle")
        drawn = isinstance(dataset, TranslationDataset) and bool(dataset.bpe_dropout)
        if shuffle is not None and shuffle.data is False and drawn:
            message = "false leaves every epoch the same, which 'bpe_dropout' draws anew. Remove one of them."
            raise RecipeError([Problem(shuffle.key or shuffle.place, "fit.shuffle", message)])
        arguments = {word: section[key].plain() for key, word in SPLIT_ARGUMENTS.items() if key in section.data}
        rows = rows_of(recipe) if isinstance(dataset, TextDataset) else None
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
            facts = dict(self.dataset.facts())
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
        if self.batch_tokens is None or not isinstance(self.dataset, TranslationDataset):
            return None
        from dltool.data.token_pairs import batch_edges

        with reading():
            lengths = self.dataset.read(self.splits["train"].part).target.lengths
        return len(batch_edges(lengths[lengths.argsort()[::-1]] - 1, self.batch_tokens)) - 1

    @property
    def is_text(self) -> bool:
        return isinstance(self.dataset, TextDataset)

    @property
    def is_translation(self) -> bool:
        return isinstance(self.dataset, TranslationDataset)

    @property
    def vocabulary(self) -> Vocabulary | None:
        """Of text, None of other data."""
        if not isinstance(self.dataset, TokenDataset):
            return None
        with reading():
            return self.dataset.vocabulary

    def unseen(self, name: str) -> str | None:
        """One line that counts what training never saw in a split, or None."""
        split = self.splits[name]
        with reading():
            return self.dataset.unseen(split.part, split.indices())

    def class_counts(self, name: str) -> np.ndarray | None:
        """Examples of each class in a split, int (classes,); None where there is not one class an example."""
        import numpy as np

        split, classes = self.splits[name], self.facts.get("num_classes")
        with reading():
            labels, indices = np.asarray(self.dataset.labels(split.part)), split.indices()
        if classes is None:
            return None
        if labels.ndim == 2 and labels.shape[1] > 1:
            labels = labels.argmax(axis=1)
        if labels.size != len(labels):
            return None
        labels = labels.reshape(-1) if indices is None else labels.reshape(-1)[indices]
        return np.bincount(labels.astype(int), minlength=classes)

    def hints(self) -> list[str]:
        """What a user who trains on the data should know of them, a line each."""
        with reading():
            return self.dataset.hints()

    def origins(self, name: str) -> tuple[str, list[Any]]:
        """Where each example of a split comes from: "file" and names, or "row" and numbers from 0."""
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
            if isinstance(self.dataset, TextDataset):
                return self._windows(self.dataset, split.part, batch_size, training)
            indices = split.indices()
            if isinstance(self.dataset, TranslationDataset):
                drawn = self.dataset.drawn(split.part) if training else None
                if drawn is not None:
                    from dltool.data.pipelines.bucketed import Redrawn

                    return Redrawn(drawn, batch_size)
                pairs = self.dataset.read(split.part)
                return self._bucketed(split.part, pairs, batch_size, self.batch_tokens if training else None)
            if isinstance(self.dataset, StreamedDataset):
                from dltool.data.pipelines.streamed import Streamed

                return Streamed(self.dataset, split.part, indices, batch_size)
            from dltool.data.pipelines.in_memory import DeviceArrays, InMemory

            if split.part not in self._arrays:
                self._arrays[split.part] = DeviceArrays(self.dataset.read(split.part))
            return InMemory(self._arrays[split.part], indices, batch_size)

    def direction(self, name: str, direction: str, batch_size: int) -> Pipeline:
        """The batches of a split of sentences in one direction, such as en-de."""
        assert isinstance(self.dataset, TranslationDataset)
        part = self.splits[name].part
        with reading():
            return self._bucketed(f"{part} {direction}", self.dataset.pairs(part, direction), batch_size)

    def sentences(self, name: str, direction: str) -> tuple[list[str], list[str], str | None]:
        """Of a split of sentences those to translate, their translations, and the language where it has to be told."""
        assert isinstance(self.dataset, TranslationDataset)
        source, target = direction.split("-")
        with reading():
            lines = self.dataset.lines(self.splits[name].part)
        return lines[source], lines[target], self.dataset.told(target)

    def _bucketed(self, key: str, pairs: Pairs, batch_size: int, batch_tokens: int | None = None) -> Pipeline:
        from dltool.data.pipelines.bucketed import Bucketed, DevicePairs

        if key not in self._arrays:
            self._arrays[key] = DevicePairs(pairs)
        return Bucketed(self._arrays[key], None, batch_size, batch_tokens)

    def _windows(self, text: TextDataset, part: str, batch_size: int, training: bool) -> Pipeline:
        from dltool.data.pipelines.windows import Rows, Windows, on_device

        if part not in self._arrays:
            self._arrays[part] = on_device(text.encoded(part))
        kind = Windows if self.rows is None else Rows
        try:
            return kind(self._arrays[part], text.sequence_length, batch_size, training)
        except ValueError as error:
            raise ValueError(f"{text.source}: the {part} split has {error}") from error

    def evaluation_batch(self, batch_size: int) -> int:
        """Examples at a time where nothing is trained."""
        as_trained = isinstance(self.dataset, StreamedDataset | TokenDataset)  # outputs of tokens are large
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
        return DataError(f"TensorFlow stopped: {one_line(error)}")


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
    return list(value) if isinstance(value, tuple) else value
