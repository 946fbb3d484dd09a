"""The base of all datasets: named parts of examples, their sizes, and facts about them."""

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
        """Return the examples at `indices`, in that order."""
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
    pixel_range: ClassVar[tuple[float, float] | None] = None  # black and white in images; None: not images, or unknown
    # how new examples are read by its arguments, a kind of `dltool.data.inputs.base`; None: they cannot be
    new_examples: ClassVar[str | None] = None
    is_trained: bool = False  # whether it is read as the training data of a run were (`as_trained`)
    is_absent: ClassVar[bool] = False  # whether only what a recipe declares of it is there
    is_streamed: ClassVar[bool] = False  # whether examples are read while training runs
    has_target_files: ClassVar[bool] = False  # whether targets are files, which `wrong_target` looks into
    # whether examples follow each other as in one text, cut in order, so that a model may carry its state over batches
    is_continuous: ClassVar[bool] = False
    learns_vocabulary: ClassVar[bool] = False  # whether facts depend on what is split off the training part

    @property
    def title(self) -> str:
        """The dataset's name in messages."""
        return type(self).__name__

    @property
    def splits_by_class(self) -> bool:
        """Return whether splits keep the shares of the classes that `labels` gives."""
        return self.task == "classification"

    @abstractmethod
    def sizes(self) -> dict[str, int]:
        """Return the number of examples of each stored part. "train" is always there.

        Arrays are read only if the format needs it.
        """

    @abstractmethod
    def facts(self) -> dict[str, Any]:
        """Return the facts that a recipe may use as ${data.NAME}: input_shape, num_classes, class_names, ..."""

    def input_names(self) -> Sequence[str]:
        """Return the names by which layers read the inputs; empty where an example is one array."""
        return ()

    def target_names(self) -> Sequence[str]:
        """Return the names of the targets where an example has several; empty where it has one."""
        return ()

    @abstractmethod
    def labels(self, part: str) -> Targets:
        """Return the targets of a stored part, (examples,) or (examples, ...), without reading inputs if possible."""

    @abstractmethod
    def read(self, part: str) -> Examples:
        """Return a stored part as arrays in memory, in stored order."""

    @property
    def vocabulary(self) -> Any:
        """The `Vocabulary` that text is read in; None for other data."""
        return None

    def with_vocabulary(self, vocabulary: Any) -> Dataset:
        """Return the dataset in the tokens of an existing vocabulary."""
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
        """Return the number of batches of a part if each holds this many tokens."""
        raise ValueError(f"{self.title}: {self.problem_of_batch_tokens()}")

    @property
    def redrawn_by(self) -> str | None:
        """The argument that makes each epoch draw new examples, None if they stay the same."""
        return None

    def unreadable(self, part: str) -> str | None:
        """Return one line on the first unreadable example of a part, or None. Training asks for it after a failure."""
        return None

    def wrong_target(self, part: str) -> str | None:
        """Return one line on the first target of a part that cannot be learned, or None.

        Training asks for it before its first step where `has_target_files`.
        """
        return None

    def files(self) -> list[Path] | None:
        """Return all files and folders that are read; None if facts are not worth keeping."""
        return None

    @classmethod
    def facts_of_arguments(cls, **arguments: Any) -> dict[str, Any]:
        """Return facts that follow from the arguments alone, whatever the files hold."""
        return {}

    def class_sizes(self, part: str) -> Sequence[int] | None:
        """Return the number of examples of each class in a stored part, if known without the data."""
        return None

    def class_counts(self, part: str, indices: np.ndarray | None = None) -> np.ndarray | None:
        """Return how many targets each class has at `indices` of a stored part; None where there is not one an example.

        Returns:
            int (classes,).
        """
        classes = self.facts().get("num_classes")
        if classes is None:
            return None
        labels = np.asarray(self.labels(part))
        if labels.ndim == 2 and labels.shape[1] > 1:
            labels = labels.argmax(axis=1)
        if labels.size != len(labels):
            return None
        labels = labels.reshape(-1) if indices is None else labels.reshape(-1)[indices]
        return np.bincount(labels.astype(int), minlength=classes)

    def check_for_training(self) -> None:  # noqa: B027 - by default nothing is wrong
        """Raise `ValueError` if the training part, whole as it may be, can teach nothing."""

    def divided(self, validation_split: float = 0.0, test_split: float | None = None, seed: int = 0) -> Dataset | None:
        """Return the dataset with these fractions stored as parts, if examples must not be drawn at random.

        Returns:
            The dataset cut, such as a text of which the end is held out; None: examples may be drawn.
        """
        return None

    def as_trained(self, facts: Mapping[str, Any]) -> Dataset:
        """Return the dataset with everything that training inferred taken from `facts`, not inferred again.

        Args:
            facts: those that the run keeps of its data, all that `facts()` gave; `categories` maps columns of a table
                to the categories that training saw, where that is known.
        """
        return self

    def unseen(self, part: str, indices: np.ndarray | None = None) -> str | None:
        """Return one line that counts unseen values in the examples at `indices` of a part, or None."""
        return None

    def hints(self) -> list[str]:
        """Return what a user who trains on the data should know, one line each."""
        return []

    def origins(self, part: str) -> tuple[str, Sequence[Any]]:
        """Return where each example of a stored part comes from.

        The origins are "file" and their names, or "row" and 0, 1, ...
        """
        return "row", range(self.sizes()[part])


def trained_classes(facts: Mapping[str, Any]) -> list[Any] | None:
    """Return the classes of a run's dataset in label order before selection; None if unknown."""
    if "selected_classes" in facts:
        return facts.get("source_classes")
    return facts.get("classes", facts.get("class_names"))


class Vocabulary(Protocol):
    """A vocabulary that text is read in; a run keeps its files."""

    def files(self) -> dict[str, bytes]:
        """Return the content of each file by its name."""


class TokenDataset(Dataset):
    """Text in tokens of a vocabulary that is learned from the training part, unless one is given."""

    learns_vocabulary = True

    @property
    @abstractmethod
    def vocabulary(self) -> Any:
        """That of the training part, or the one given, a `Vocabulary`."""

    @abstractmethod
    def with_vocabulary(self, vocabulary: Any) -> TokenDataset:
        """Return the text in the tokens of an existing vocabulary."""

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
        """Return one line on the first unreadable example of a part, or None.

        Training asks for it after a failed stream.
        """

    def pipeline(self, part: str, indices: np.ndarray | None, batching: Batching) -> Pipeline:
        from dltool.data.pipelines.streamed import Streamed

        return Streamed(self, part, indices, batching.size)

    def evaluation_batch(self, batch_size: int) -> int:
        return batch_size
