"""What a dataset is: named parts of examples, their sizes, and facts about them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import numpy as np

if TYPE_CHECKING:
    import tensorflow as tf

    from dltool.data.pipelines.base import Pipeline

PARTS = ("train", "validation", "test")
EVALUATION_BATCH = 512  # examples, for evaluation of arrays in memory; results do not depend on it
SEVERAL = "several"  # the task of data with several targets an example

Targets = np.ndarray | Mapping[str, np.ndarray]  # of several targets a mapping by their names


@dataclass(frozen=True)
class Examples:
    """Examples in memory.

    Args:
        x: inputs, an array (examples, ...), or a dict of column or array name to array (examples, ...).
        y: targets, an array (examples,) or (examples, ...), or a dict of them; class indices are int32.
    """

    x: np.ndarray | Mapping[str, np.ndarray]
    y: Any  # `Targets`

    def __len__(self) -> int:
        return len(next(iter(self.y.values())) if isinstance(self.y, Mapping) else self.y)

    def take(self, indices: np.ndarray) -> Examples:
        """The examples at `indices`, in that order."""
        return Examples(_take(self.x, indices), _take(self.y, indices))


def _take(arrays: Targets, indices: np.ndarray) -> Targets:
    if isinstance(arrays, Mapping):
        return {name: array[indices] for name, array in arrays.items()}
    return arrays[indices]


@dataclass(frozen=True)
class Batching:
    """How examples are put into batches.

    Args:
        size: examples a batch.
        training: whether the batches are to train on: of a text then windows of equal length, cut elsewhere each epoch.
        rows: of a text, how many parts of it a model with a state reads side by side; None: it has no state.
        tokens: of translations, target tokens in a batch to train on; None: batches are counted in sentences.
        shared: of each stored part what its pipelines share, such as its tensors.
    """

    size: int
    training: bool = False
    rows: int | None = None
    tokens: int | None = None
    shared: dict[str, Any] = field(default_factory=dict)


class Dataset(ABC):
    """A dataset: parts ("train", and "validation" or "test" where the source has them) and facts.

    A subclass checks its arguments in `__init__`, where it raises `ValueError` or `TypeError` for a value
    that can never work and `FileNotFoundError` for an explicit path that does not exist; it reads as
    little as it can there. Missing or broken data found later raise `OSError` or `ValueError` with
    one line that names the file and the remedy.
    """

    task: ClassVar[str] = "classification"  # the kind of problem, a file of `dltool.tasks`; an instance may set its own
    is_trained: bool = False  # whether it is read as the training data of a run were (`as_trained`)
    is_absent: ClassVar[bool] = False  # whether only what a recipe declares of it is there
    is_streamed: ClassVar[bool] = False  # whether examples are read while training runs
    # whether examples follow each other as in one text, cut in order, so that a model may carry its state over batches
    is_continuous: ClassVar[bool] = False
    learns_vocabulary: ClassVar[bool] = False  # whether facts depend on what is split off the training part

    @property
    def title(self) -> str:
        """What messages call it."""
        return type(self).__name__

    @abstractmethod
    def sizes(self) -> dict[str, int]:
        """Examples in each stored part; always has "train". Arrays are not read where the format allows."""

    @abstractmethod
    def facts(self) -> dict[str, Any]:
        """What a recipe may ask for as ${data.NAME}: input_shape, num_classes, class_names, ..."""

    def input_names(self) -> Sequence[str]:
        """Return the names by which layers read the inputs; empty where an example is one array."""
        return ()

    def target_names(self) -> Sequence[str]:
        """Return the names of the targets where an example has several; empty where it has one."""
        return ()

    @abstractmethod
    def labels(self, part: str) -> Targets:
        """Targets of a stored part, (examples,) or (examples, ...), without reading inputs if possible."""

    @abstractmethod
    def read(self, part: str) -> Examples:
        """A stored part as arrays in memory, in stored order."""

    @property
    def vocabulary(self) -> Any:
        """What text is read in, a `Vocabulary`; None of other data."""
        return None

    def with_vocabulary(self, vocabulary: Any) -> Dataset:
        """The dataset in the tokens of a vocabulary that is there already."""
        return self

    def pipeline(self, part: str, indices: np.ndarray | None, batching: Batching) -> Pipeline:
        """Return batches of the examples at `indices` of a stored part, None for all of it."""
        from dltool.data.pipelines.in_memory import DeviceArrays, InMemory

        if part not in batching.shared:
            batching.shared[part] = DeviceArrays(self.read(part))
        return InMemory(batching.shared[part], indices, batching.size)

    def evaluation_batch(self, batch_size: int) -> int:
        """Return how many examples to take at a time where nothing is trained."""
        return max(batch_size, EVALUATION_BATCH)

    def problem_of_batch_tokens(self) -> str | None:
        """Return why batches can't be counted in tokens, None where they can."""
        return "counts the tokens of translations, which these data are not. Use batch_size."

    def batches_by_tokens(self, part: str, batch_tokens: int) -> int:
        """Return how many batches of so many tokens a part has."""
        raise ValueError(f"{self.title}: {self.problem_of_batch_tokens()}")

    @property
    def redrawn_by(self) -> str | None:
        """The argument by which examples are drawn anew each epoch, None where they stay the same."""
        return None

    def unreadable(self, part: str) -> str | None:
        """One line on the first example of a part that cannot be read, or None; for after a failed training."""
        return None

    def files(self) -> list[Path] | None:
        """Files and folders that everything is read from; None where facts are not worth being kept."""
        return None

    @classmethod
    def facts_of_arguments(cls, **arguments: Any) -> dict[str, Any]:
        """Facts that follow from the arguments alone, whatever the files hold."""
        return {}

    def class_sizes(self, part: str) -> Sequence[int] | None:
        """Examples of each class in a stored part, where they are known without the data."""
        return None

    def check_for_training(self) -> None:  # noqa: B027 - by default nothing is wrong
        """Raise `ValueError` if the training part, whole as it may be, can teach nothing."""

    def divided(self, validation_split: float = 0.0, test_split: float | None = None, seed: int = 0) -> Dataset | None:
        """The dataset with these fractions stored as parts, where drawing examples at random would not do.

        Returns:
            The dataset cut, such as a text of which the end is held out; None: examples may be drawn.
        """
        return None

    def as_trained(self, facts: Mapping[str, Any]) -> Dataset:
        """The dataset read as the data of a run were: what training inferred from its data is not inferred anew.

        Args:
            facts: those that the run keeps of its data, all that `facts()` gave; `categories` maps columns of a table
                to the categories that training saw, where that is known.
        """
        return self

    def unseen(self, part: str, indices: np.ndarray | None = None) -> str | None:
        """One line that counts what training never saw in the examples at `indices` of a part, or None."""
        return None

    def hints(self) -> list[str]:
        """What a user who trains on the data should know of them, a line each."""
        return []

    def origins(self, part: str) -> tuple[str, Sequence[Any]]:
        """Where each example of a stored part comes from: "file" and their names, or "row" and 0, 1, ..."""
        return "row", range(self.sizes()[part])


def trained_classes(facts: Mapping[str, Any]) -> list[Any] | None:
    """The classes of a run's dataset in label order, before some were selected; None where that is not known."""
    if "selected_classes" in facts:
        return facts.get("source_classes")
    return facts.get("classes", facts.get("class_names"))


class Vocabulary(Protocol):
    """What text is read in; a run keeps its files."""

    def files(self) -> dict[str, bytes]:
        """File name -> content."""


class TokenDataset(Dataset):
    """Text in tokens of a vocabulary that is learned from the training part, unless one is given."""

    learns_vocabulary = True

    @property
    @abstractmethod
    def vocabulary(self) -> Any:
        """That of the training part, or the one given, a `Vocabulary`."""

    @abstractmethod
    def with_vocabulary(self, vocabulary: Any) -> TokenDataset:
        """The text in the tokens of a vocabulary that is there already."""

    def evaluation_batch(self, batch_size: int) -> int:
        return batch_size  # outputs of tokens are large


class StreamedDataset(Dataset):
    """A dataset that need not fit in memory: single examples, read while training runs."""

    is_streamed = True

    @abstractmethod
    def stream(self, part: str, order: np.ndarray) -> tf.data.Dataset:
        """Single examples (x, y) of a stored part at the indices `order`, in that order."""

    @abstractmethod
    def unreadable(self, part: str) -> str | None:
        """One line on the first example of a part that cannot be read, or None; for after a failed stream."""

    def pipeline(self, part: str, indices: np.ndarray | None, batching: Batching) -> Pipeline:
        from dltool.data.pipelines.streamed import Streamed

        return Streamed(self, part, indices, batching.size)

    def evaluation_batch(self, batch_size: int) -> int:
        return batch_size
