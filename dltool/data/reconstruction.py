"""A dataset whose targets are its inputs, as autoencoders learn from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dltool.data.base import Dataset, Examples, StreamedDataset

if TYPE_CHECKING:
    import tensorflow as tf

LABELLED = ("num_classes", "class_names", "classes", "num_targets", "target", "targets")  # facts of the own targets


def with_inputs_as_targets(dataset: Dataset) -> Dataset:
    """Return the examples with y = x, of the task "reconstruction".

    Inputs stay as stored. Targets are float32 of the same shape; pixels are scaled by the dataset's `pixel_range`:

        y = (x - black) / (white - black), in [0, 1]

    Returns:
        A dataset (streamed if the other is) with the same parts and splits; its facts are those of the inputs.
    Raises:
        ValueError: an example is not one array of numbers of a known shape.
    """
    shape = dataset.facts().get("input_shape")
    if shape is None or None in tuple(shape) or dataset.vocabulary is not None:
        raise ValueError(f"{dataset.title} has no arrays of a fixed shape as inputs: remove 'targets'.")
    return (_ReconstructedStream if isinstance(dataset, StreamedDataset) else Reconstructed)(dataset)


def scaled(x: np.ndarray, pixel_range: tuple[float, float] | None) -> np.ndarray:
    """Return inputs as targets, float32 of the same shape."""
    black, white = pixel_range or (0, 1)
    return ((np.asarray(x, np.float32) - np.float32(black)) / np.float32(white - black)).astype(np.float32)


class Reconstructed(Dataset):
    """The examples of a dataset with their inputs as targets.

    `labels` are still the other dataset's: splits keep the shares of its classes, and are those of a classifier.
    """

    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset
        self.task = "reconstruction"  # type: ignore[misc]
        self.pixel_range = dataset.pixel_range  # type: ignore[misc]
        self.is_trained, self.is_absent = dataset.is_trained, dataset.is_absent  # type: ignore[misc]

    @property
    def title(self) -> str:
        return self.dataset.title

    @property
    def splits_by_class(self) -> bool:
        return self.dataset.splits_by_class

    def sizes(self) -> dict[str, int]:
        return self.dataset.sizes()

    def facts(self) -> dict[str, Any]:
        facts = {name: value for name, value in self.dataset.facts().items() if name not in LABELLED}
        return facts if self.pixel_range is None else facts | {"pixel_range": tuple(self.pixel_range)}

    def labels(self, part: str) -> np.ndarray:
        return np.asarray(self.dataset.labels(part))

    def class_counts(self, part: str, indices: np.ndarray | None = None) -> np.ndarray | None:
        return None

    def read(self, part: str) -> Examples:
        x = self.dataset.read(part).x
        return Examples(x, scaled(np.asarray(x), self.pixel_range))

    def files(self) -> list[Path] | None:
        return self.dataset.files()

    def as_trained(self, facts: Mapping[str, Any]) -> Dataset:
        return type(self)(self.dataset.as_trained(facts))

    def unseen(self, part: str, indices: np.ndarray | None = None) -> str | None:
        return self.dataset.unseen(part, indices)

    def hints(self) -> list[str]:
        return self.dataset.hints()

    def origins(self, part: str) -> tuple[str, Sequence[Any]]:
        return self.dataset.origins(part)


class _ReconstructedStream(Reconstructed, StreamedDataset):
    """As `Reconstructed`, of a dataset that need not fit in memory."""

    dataset: StreamedDataset

    def stream(self, part: str, order: np.ndarray) -> tf.data.Dataset:
        import tensorflow as tf

        black, white = self.pixel_range or (0, 1)
        return self.dataset.stream(part, order).map(
            lambda x, _: (x, (tf.cast(x, tf.float32) - black) / (white - black))
        )

    def unreadable(self, part: str) -> str | None:
        return self.dataset.unreadable(part)
