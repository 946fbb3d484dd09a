"""A dataset whose inputs are noise and whose targets are its images, as generators learn from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from dltool.data.arguments import boolean, integer
from dltool.data.base import PARTS, Dataset, Examples, StreamedDataset
from dltool.data.reconstruction import LABELLED, Reconstructed, scaled

if TYPE_CHECKING:
    import tensorflow as tf

SEED = 117  # of the noise of stored examples: figures of a run repeat


def with_noise_as_inputs(dataset: Dataset, noise: int, classes: bool = False) -> Dataset:
    """Return the examples with inputs z ~ N(0, 1) and the images as targets, of the task "generation".

    Targets are as of `with_inputs_as_targets`: float32, pixels in [0, 1]. The noise of an example, of a stream that of
    its place in the order, is always the same; procedures that train on noise draw their own.

    Args:
        dataset: of images, or other arrays of one shape.
        noise: numbers of noise an example, int > 0.
        classes: whether the example's class, one-hot, follows the noise: inputs are then (noise + classes,).
    Returns:
        A dataset (streamed if the other is) with the facts `input_shape`, `target_shape`, `noise`, `pixel_range`, and
        with `classes` also `num_classes` and `class_names`.
    Raises:
        ValueError: an example is not one array of numbers of a known shape, or it has not one class.
    """
    noise, classes = integer("the data", "inputs.noise", noise, 1), boolean("the data", "inputs.classes", classes)
    facts = dataset.facts()
    shape = facts.get("input_shape")
    if shape is None or None in tuple(shape) or dataset.vocabulary is not None:
        raise ValueError(f"{dataset.title} has no arrays of a fixed shape to generate: remove 'inputs'.")
    if classes and (dataset.task != "classification" or not facts.get("num_classes") or facts.get("multi_label")):
        raise ValueError(f"{dataset.title} has not one class an example: remove 'classes'.")
    kind = _GeneratedStream if isinstance(dataset, StreamedDataset) else _Generated
    return kind(dataset, noise, facts["num_classes"] if classes else 0)


class _Generated(Reconstructed):
    """The images of a dataset as targets, noise as inputs."""

    def __init__(self, dataset: Dataset, noise: int, classes: int) -> None:
        super().__init__(dataset)
        self.task = "generation"  # type: ignore[misc]
        self.noise, self.classes = noise, classes

    def facts(self) -> dict[str, Any]:
        facts = super().facts()
        shape = facts.pop("input_shape")
        if self.classes:
            facts |= {name: value for name, value in self.dataset.facts().items() if name in LABELLED[:2]}
        facts |= {"input_shape": (self.noise + self.classes,), "target_shape": tuple(shape), "noise": self.noise}
        return facts

    def read(self, part: str) -> Examples:
        examples = self.dataset.read(part)
        number = PARTS.index(part) if part in PARTS else len(PARTS)
        random = np.random.default_rng([SEED, number])
        x = random.standard_normal((len(examples), self.noise), np.float32)
        if self.classes:
            labels = np.asarray(examples.y)
            labels = labels.argmax(axis=1) if labels.ndim == 2 and labels.shape[1] > 1 else labels.reshape(-1)
            x = np.concatenate([x, np.eye(self.classes, dtype=np.float32)[labels.astype(int)]], axis=1)
        return Examples(x, scaled(np.asarray(examples.x), self.pixel_range))

    def as_trained(self, facts: Any) -> Dataset:
        own = {name: value for name, value in facts.items() if name not in ("noise", "target_shape")}
        if "target_shape" in facts:
            own["input_shape"] = facts["target_shape"]
        return type(self)(self.dataset.as_trained(own), self.noise, self.classes)


class _GeneratedStream(_Generated, StreamedDataset):
    """As `_Generated`, of a dataset that need not fit in memory."""

    dataset: StreamedDataset

    def stream(self, part: str, order: np.ndarray) -> tf.data.Dataset:
        import tensorflow as tf

        black, white = self.pixel_range or (0, 1)

        def made(index: Any, example: Any) -> tuple[Any, Any]:
            x, y = example
            noise = tf.random.stateless_normal((self.noise,), [SEED, index])
            if self.classes:
                label = tf.argmax(y) if len(y.shape) and y.shape[-1] > 1 else tf.reshape(y, ())
                noise = tf.concat([noise, tf.one_hot(tf.cast(label, tf.int32), self.classes)], axis=0)
            return noise, (tf.cast(x, tf.float32) - black) / (white - black)

        return self.dataset.stream(part, order).enumerate().map(made)

    def unreadable(self, part: str) -> str | None:
        return self.dataset.unreadable(part)
