"""Train, validation and test splits of a dataset's stored parts."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from dltool.data import arguments
from dltool.data.base import Dataset

TEST_SPLIT = 0.2  # share of the train part held out when a dataset stores no test part


@dataclass(frozen=True)
class Split:
    """Some examples of a stored part.

    Args:
        part: the stored part that the examples are in: "train", "validation" or "test".
        size: number of examples.
    """

    part: str
    size: int
    _compute: Callable[[], np.ndarray] | None = field(default=None, repr=False, compare=False)

    def indices(self) -> np.ndarray | None:
        """Sorted int64 indices into the stored part, (size,), or None for all of it."""
        return None if self._compute is None else self._compute()


def split(
    dataset: Dataset,
    *,
    validation_split: float = 0.0,
    test_split: float | None = None,
    seed: int = 0,
    examples_per_class: int | None = None,
) -> dict[str, Split]:
    """Return the splits "train", "validation" and "test" of a dataset, without empty ones.

    Stored parts are used unchanged, and a dataset that divides itself (`Dataset.divided`) has no others. From a dataset
    without a test part, ceil(test_split * n) of the n train examples are held out; then ceil(validation_split * m) of
    the remaining m. Class shares are kept (stratified) if targets are one class per example. From the remaining
    training examples, `examples_per_class` of each class are drawn; validation and test stay whole. Sizes are known at
    once; labels are read when `indices()` is first called.

    Args:
        dataset: where the parts come from.
        validation_split: fraction in [0, 1). Defaults to 0: no validation split unless one is stored.
        test_split: fraction in [0, 1); 0 means no test split. Defaults to 0.2 if no test part is stored.
        seed: int >= 0; the same seed gives the same splits.
        examples_per_class: int > 0, None for all. The examples drawn for a smaller number are among those for a larger.
    Raises:
        ValueError: if a fraction is out of range, leaves nothing to train on or contradicts a stored part, if there
            are no classes to draw from or too few examples, and from `indices()` if a class is too small to be
            stratified or drawn from.
    """
    validation_split = arguments.fraction("split", "validation_split", validation_split)
    seed = arguments.integer("split", "seed", seed, 0)
    divided = dataset.divided(validation_split, test_split, seed)
    if divided is not None:
        if examples_per_class is not None:
            raise ValueError(f"{dataset.title} divides itself and has no classes: remove 'examples_per_class'.")
        return {part: Split(part, size) for part, size in divided.sizes().items()}
    name, sizes = dataset.title, dataset.sizes()
    if test_split is not None:
        test_split = arguments.fraction("split", "test_split", test_split)
        if "test" in sizes:
            raise ValueError(f"{name} stores a test part of {sizes['test']} examples: remove 'test_split'.")
    if validation_split and "validation" in sizes:
        raise ValueError(
            f"{name} stores a validation part of {sizes['validation']} examples: remove 'validation_split'."
        )
    if "test" in sizes:
        test_split = 0.0
    elif test_split is None:
        test_split = TEST_SPLIT

    n = sizes["train"]
    n_test = _held(name, "test_split", test_split, n)
    n_validation = _held(name, "validation_split", validation_split, n - n_test)
    plan = _Plan(dataset, n, n_test, n_validation, seed)

    splits = {"train": Split("train", n - n_test - n_validation, plan.train if n_test + n_validation else None)}
    if examples_per_class is not None:
        splits["train"] = _few(dataset, plan, splits["train"].size, examples_per_class)
    if "validation" in sizes:
        splits["validation"] = Split("validation", sizes["validation"])
    elif n_validation:
        splits["validation"] = Split("train", n_validation, plan.validation)
    if "test" in sizes:
        splits["test"] = Split("test", sizes["test"])
    elif n_test:
        splits["test"] = Split("train", n_test, plan.test)
    return {key: value for key, value in splits.items() if value.size}


def _held(name: str, word: str, share: float, n: int) -> int:
    held = math.ceil(share * n)  # as scikit-learn rounds
    if held and held >= n:
        raise ValueError(f"'{word}' of {share} leaves none of the {n} train examples of {name}: make it smaller.")
    return held


def _few(dataset: Dataset, plan: _Plan, left: int, examples_per_class: int) -> Split:
    """Return a training split of `examples_per_class` examples of each class, from those in `left`."""
    each = arguments.integer("split", "examples_per_class", examples_per_class, 1)
    classes = dataset.facts().get("num_classes")
    if classes is None:
        raise ValueError(f"{dataset.title} has numbers as targets, no classes: remove 'examples_per_class'.")
    if each * classes > left:
        raise ValueError(
            f"'examples_per_class' of {each} asks for {each * classes} examples of {classes} classes, but {left} "
            f"of {dataset.title} are left to train on: make it smaller."
        )
    return Split("train", each * classes, functools.partial(plan.few, each, classes))


class _Plan:
    """The partition of the train part, computed once."""

    def __init__(self, dataset: Dataset, n: int, n_test: int, n_validation: int, seed: int):
        self.dataset, self.n, self.n_test, self.n_validation, self.seed = (
            dataset,
            n,
            n_test,
            n_validation,
            seed,
        )

    def train(self) -> np.ndarray:
        return self._partition["train"]

    def validation(self) -> np.ndarray:
        return self._partition["validation"]

    def test(self) -> np.ndarray:
        return self._partition["test"]

    def few(self, each: int, classes: int) -> np.ndarray:
        """So many training examples of each class, drawn by the seed."""
        labels = self._labels
        if labels is None:
            raise ValueError(f"{self.dataset.title} has several classes an example: remove 'examples_per_class'.")
        train, drawn = self.train(), []
        generator = np.random.default_rng(self.seed)
        for label in range(classes):
            own = train[labels[train] == label]
            if len(own) < each:
                raise ValueError(
                    f"'examples_per_class' of {each}, but class {self._class_name(label)} of {self.dataset.title} has "
                    f"{len(own)} examples to train on: make it smaller."
                )
            drawn.append(generator.permutation(own)[:each])
        return np.sort(np.concatenate(drawn))

    @cached_property
    def _labels(self) -> np.ndarray | None:
        """The class of each example;

        None if examples have no single class (pixels, boxes), so that nothing is stratified.
        """
        if not self.dataset.splits_by_class:
            return None
        labels = np.asarray(self.dataset.labels("train"))
        return labels.reshape(-1) if labels.size == len(labels) else None

    @cached_property
    def _partition(self) -> dict[str, np.ndarray]:
        labels = self._labels if self.n_test + self.n_validation else None
        rest, test = self._hold_out(np.arange(self.n), self.n_test, labels, "test_split")
        train, validation = self._hold_out(rest, self.n_validation, labels, "validation_split")
        return {"train": np.sort(train), "validation": np.sort(validation), "test": np.sort(test)}

    def _hold_out(
        self, indices: np.ndarray, held: int, labels: np.ndarray | None, word: str
    ) -> tuple[np.ndarray, np.ndarray]:
        if not held:
            return indices, indices[:0]
        if labels is not None:
            self._check_classes(labels[indices], held, word)
        from sklearn.model_selection import train_test_split

        kept, out = train_test_split(
            indices,
            test_size=held,
            random_state=self.seed % 2**32,
            stratify=None if labels is None else labels[indices],
        )
        return kept, out

    def _check_classes(self, labels: np.ndarray, held: int, word: str) -> None:
        values, counts = np.unique(labels, return_counts=True)
        name, rarest = self.dataset.title, int(np.argmin(counts))
        if counts[rarest] < 2:
            raise ValueError(
                f"'{word}' keeps class shares, but class {self._class_name(values[rarest])} of {name} has "
                "only 1 example "
                f"to divide: add examples of it, leave it out, or set '{word}' to 0."
            )
        for side, size, remedy in (("holds out", held, "raise"), ("leaves", len(labels) - held, "lower")):
            if size < len(values):
                raise ValueError(
                    f"'{word}' {side} {size} of {len(labels)} examples of {name}, too few for one of each of "
                    "its "
                    f"{len(values)} classes (the rarest is {self._class_name(values[rarest])}, with "
                    f"{counts[rarest]}): "
                    f"{remedy} '{word}'."
                )

    def _class_name(self, label: int) -> str:
        class_names = self.dataset.facts().get("class_names")
        return repr(class_names[int(label)]) if class_names else str(label)
