"""Splits: disjoint, complete, stratified, of the promised sizes, and a function of the seed."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dltool.data.base import Dataset, Examples
from dltool.data.splits import split


class Stored(Dataset):
    """Parts given by their labels; counts how often labels are read."""

    def __init__(self, task="classification", **parts):
        self.task, self.parts, self.reads = task, {k: np.asarray(v) for k, v in parts.items()}, 0

    def sizes(self):
        return {part: len(y) for part, y in self.parts.items()}

    def facts(self):
        return {"class_names": [f"class {i}" for i in range(100)]}

    def labels(self, part):
        self.reads += 1
        return self.parts[part]

    def read(self, part):
        return Examples(self.parts[part], self.parts[part])


counts = st.lists(st.integers(20, 60), min_size=1, max_size=5)


@settings(max_examples=40, deadline=None)
@given(counts, st.sampled_from([0.0, 0.1, 0.25, 0.5]), st.sampled_from([None, 0.0, 0.2]), st.integers(0, 2**40))
def test_splits_partition_the_train_part_and_keep_class_shares(counts, validation_split, test_split, seed):
    y = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(counts)), counts))
    dataset = Stored(train=y)
    splits = split(dataset, validation_split=validation_split, test_split=test_split, seed=seed)
    assert dataset.reads == 0, "sizes must not need labels"
    n = len(y)
    n_test = math.ceil((0.2 if test_split is None else test_split) * n)
    n_validation = math.ceil(validation_split * (n - n_test))
    expected = {"train": n - n_test - n_validation, "validation": n_validation, "test": n_test}
    assert {k: v.size for k, v in splits.items()} == {k: v for k, v in expected.items() if v}

    indices = {k: np.arange(n) if v.indices() is None else v.indices() for k, v in splits.items()}
    assert sorted(np.concatenate(list(indices.values())).tolist()) == list(range(n))
    assert dataset.reads <= 1
    for k, found in indices.items():
        assert len(found) == splits[k].size and np.all(np.diff(found) > 0)
    of = {"test": y, "validation": np.delete(y, indices.get("test", []))}
    for k in set(of) & set(indices):
        share = splits[k].size * np.bincount(of[k], minlength=len(counts)) / len(of[k])
        assert np.all(np.abs(np.bincount(y[indices[k]], minlength=len(counts)) - share) <= 1)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32 - 2))
def test_the_split_is_a_function_of_the_seed(seed):
    y = np.arange(100) % 4
    one, same, other = (
        split(Stored(train=y), validation_split=0.3, seed=s)["validation"].indices() for s in (seed, seed, seed + 1)
    )
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)


def test_sizes_round_up_as_scikit_learn_does():
    from sklearn.model_selection import train_test_split

    for n in range(5, 60):
        for share in (0.1, 0.15, 0.3, 1 / 3):
            ours = split(Stored("regression", train=np.arange(n)), test_split=share)
            assert ours["test"].size == len(train_test_split(np.arange(n), test_size=share)[1])


def test_stored_parts_are_used_as_they_are():
    splits = split(Stored(train=[0, 1] * 5, validation=[0, 1], test=[1, 0, 1]))
    assert {k: (v.part, v.size, v.indices()) for k, v in splits.items()} == {
        "train": ("train", 10, None),
        "validation": ("validation", 2, None),
        "test": ("test", 3, None),
    }


def test_validation_is_taken_of_train_beside_a_stored_test_part():
    splits = split(Stored(train=[0, 1] * 10, test=[0, 1]), validation_split=0.1)
    assert {k: (v.part, v.size) for k, v in splits.items()} == {
        "train": ("train", 18),
        "validation": ("train", 2),
        "test": ("test", 2),
    }


def test_regression_is_not_stratified():
    y = np.arange(50, dtype=np.float32)  # every value once: no class could be stratified
    splits = split(Stored("regression", train=y), validation_split=0.2)
    assert {k: v.size for k, v in splits.items()} == {"train": 32, "validation": 8, "test": 10}
    assert len(splits["validation"].indices()) == 8


def test_labels_of_several_axes_are_not_stratified():
    splits = split(Stored(train=np.arange(40).reshape(10, 4)))
    assert len(splits["test"].indices()) == 2


@pytest.mark.parametrize(
    ("parts", "arguments", "message"),
    [
        ({"train": [0, 1] * 5, "test": [0]}, {"test_split": 0.2}, "stores a test part of 1 examples: remove"),
        ({"train": [0, 1] * 5, "validation": [0]}, {"validation_split": 0.2}, "stores a validation part"),
        ({"train": [0, 1]}, {"test_split": 1.0}, r"'test_split'.*\[0.0, 1.0\).*Got 1.0"),
        ({"train": [0, 1]}, {"validation_split": -0.1}, r"'validation_split'.*Got -0.1"),
        ({"train": [0, 1]}, {"seed": -1}, "'seed'.*Got -1"),
        ({"train": [0]}, {}, "leaves none of the 1 train examples"),
    ],
)
def test_contradictory_arguments_are_errors(parts, arguments, message):
    with pytest.raises(ValueError, match=message):
        split(Stored(**parts), **arguments)


def test_a_class_of_one_example_is_named():
    splits = split(Stored(train=[0] * 20 + [1] * 20 + [2]))
    with pytest.raises(ValueError, match="'class 2' of Stored has only 1 example"):
        splits["test"].indices()


def test_a_split_too_small_for_all_classes_is_an_error():
    splits = split(Stored(train=np.arange(20) % 10), test_split=0.2)
    with pytest.raises(ValueError, match="holds out 4 of 20 .* 10 classes .*raise 'test_split'"):
        splits["train"].indices()
