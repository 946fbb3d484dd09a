"""Some classes of a dataset as a dataset of their own."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from dltool.data import arguments
from dltool.data.base import Dataset, Examples, StreamedDataset

if TYPE_CHECKING:
    import tensorflow as tf


def with_classes(dataset: Dataset, classes: Sequence[int | str]) -> Dataset:
    """Return the examples of some classes, relabelled 0, 1, ... in the order of `classes`.

    Args:
        dataset: a classification dataset, one class per example.
        classes: at least 2, by number or by name, without repetition.
    Returns:
        A dataset (streamed if the other is) with the same parts, inputs and facts, but without the other classes; the
        fact `selected_classes` has their numbers in the given dataset.
    Raises:
        ValueError: it is no classification dataset, or lacks one of the classes; on reading, several classes per
            example, or no training example of a class.
    Limits: sizes are counted on the targets, so these are read (the inputs are not).
    """
    facts = dataset.facts()
    if "num_classes" not in facts:
        raise ValueError(f"{dataset.title} has numbers as targets, no classes to select: remove 'classes'.")
    chosen = [_number(one, dataset.title, facts) for one in classes]
    if len(chosen) < 2 or len(set(chosen)) < len(chosen):
        raise arguments.wrong("the data", "classes", "a list of at least 2 different classes", list(classes))
    return (_SelectedStream if isinstance(dataset, StreamedDataset) else _Selected)(dataset, chosen)


def _number(one: Any, title: str, facts: dict[str, Any]) -> int:
    count, names = facts["num_classes"], facts.get("class_names")
    if isinstance(one, int) and not isinstance(one, bool) and 0 <= one < count:
        return one
    words = [str(name) for name in names or ()]
    if isinstance(one, str) and words.count(one) == 1:
        return words.index(one)
    listed = ", ".join(f"{i} ({word})" if word != str(i) else word for i, word in enumerate(words[:30]))
    known = f"{listed}{', ...' if count > 30 else ''}" if words else f"0 to {count - 1}"
    raise ValueError(f"{title} has no class {one!r}. It has: {known}.")


class _Selected(Dataset):
    """The examples of the classes with these numbers."""

    def __init__(self, dataset: Dataset, classes: list[int]) -> None:
        self.dataset, self.classes = dataset, classes
        self.task = dataset.task  # type: ignore[misc]
        self.pixel_range = dataset.pixel_range  # type: ignore[misc]
        self.is_trained = dataset.is_trained
        self._indices: dict[str, np.ndarray] = {}

    @property
    def title(self) -> str:
        return self.dataset.title

    def sizes(self) -> dict[str, int]:
        return {part: self._size(part) for part in self.dataset.sizes()}

    def _size(self, part: str) -> int:
        known = self.dataset.class_sizes(part)
        return len(self.indices(part)) if known is None else sum(known[number] for number in self.classes)

    def facts(self) -> dict[str, Any]:
        facts = dict(self.dataset.facts())
        source = facts.get("classes", facts.get("class_names"))
        if source is not None:
            facts["source_classes"] = list(source)
        for name in ("class_names", "classes"):
            if name in facts:
                facts[name] = [facts[name][number] for number in self.classes]
        return facts | {"num_classes": len(self.classes), "selected_classes": list(self.classes)}

    def labels(self, part: str) -> np.ndarray:
        return self._new[self._old(part)[self.indices(part)]]

    def read(self, part: str) -> Examples:
        taken = self.dataset.read(part).take(self.indices(part))
        return Examples(taken.x, self.labels(part))

    def unseen(self, part: str, indices: np.ndarray | None = None) -> str | None:
        own = self.indices(part)
        return self.dataset.unseen(part, own if indices is None else own[indices])

    def hints(self) -> list[str]:
        return self.dataset.hints()

    def origins(self, part: str) -> tuple[str, Sequence[Any]]:
        word, places = self.dataset.origins(part)
        return word, [places[index] for index in self.indices(part)]

    def indices(self, part: str) -> np.ndarray:
        """Return the positions of the examples in the other dataset's part, ascending."""
        if part not in self._indices:
            old = self._old(part)
            self._indices[part] = np.flatnonzero(np.isin(old, self.classes))
            missing = sorted(set(self.classes) - set(old.tolist())) if part == "train" and not self.is_trained else ()
            for number in missing:
                raise ValueError(f"{self.title} has no training example of class {number}: select others.")
        return self._indices[part]

    def _old(self, part: str) -> np.ndarray:
        labels = np.asarray(self.dataset.labels(part))
        if labels.size != len(labels):
            raise ValueError(f"{self.title} has several classes an example: none can be selected.")
        return labels.reshape(-1)

    @cached_property
    def _new(self) -> np.ndarray:
        """Number in the other dataset -> number here, -1 for a class left out."""
        table = np.full(max(self.dataset.facts()["num_classes"], max(self.classes) + 1), -1, np.int32)
        table[self.classes] = np.arange(len(self.classes))
        return table


class _SelectedStream(_Selected, StreamedDataset):
    """As `_Selected`, of a dataset that need not fit in memory."""

    dataset: StreamedDataset

    def stream(self, part: str, order: np.ndarray) -> tf.data.Dataset:
        import tensorflow as tf

        new = tf.constant(self._new)
        return self.dataset.stream(part, self.indices(part)[order]).map(lambda x, y: (x, tf.gather(new, y)))

    def unreadable(self, part: str) -> str | None:
        return self.dataset.unreadable(part)
