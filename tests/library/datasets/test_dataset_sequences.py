"""The long-lag tasks: what is to be remembered stands where the papers put it."""

from __future__ import annotations

import numpy as np
import pytest

from dltool.library.datasets.adding_problem import AddingProblem
from dltool.library.datasets.copy_task import CopyTask
from dltool.library.datasets.long_lag import LongLag


def test_the_target_is_the_sum_of_the_two_marked_numbers() -> None:
    data = AddingProblem(length=11, examples=4000, test_examples=50, seed=3).read("train")
    assert data.x.shape == (4000, 11, 2) and data.x.dtype == np.float32 and data.y.dtype == np.float32
    marks = data.x[:, :, 1] == 1
    np.testing.assert_array_equal(marks[:, :5].sum(1), 1)
    np.testing.assert_array_equal(marks[:, 5:].sum(1), 1)
    assert set(np.unique(data.x[:, :, 1])) == {0, 1}
    assert marks.any(axis=0).all(), "a place is never marked"
    for x, y in zip(data.x[:100], data.y, strict=False):
        first, second = np.flatnonzero(x[:, 1])
        assert y == pytest.approx(x[first, 0] + x[second, 0])
    assert ((data.y - 1) ** 2).mean() == pytest.approx(1 / 6, rel=0.05)


def test_symbols_are_to_be_given_after_the_signal() -> None:
    data = CopyTask(pause=5, copied=3, symbols=4, examples=200, test_examples=9, seed=1).read("train")
    assert data.x.shape == data.y.shape == (200, 11)
    said = data.x[:, :3]
    assert set(np.unique(said)) == {1, 2, 3, 4}
    np.testing.assert_array_equal(data.x[:, 3:], np.tile([0, 0, 0, 0, 5, 0, 0, 0], (200, 1)))
    np.testing.assert_array_equal(data.y[:, 8:], said)
    assert not data.y[:, :8].any()


@pytest.mark.parametrize("kind", [AddingProblem, CopyTask, LongLag])
def test_parts_differ_and_come_again(kind: type) -> None:
    one, other = (kind(examples=30, test_examples=30, seed=seed) for seed in (0, 1))
    train, test = one.read("train"), one.read("test")
    assert (train.x != test.x).any() and (train.x != other.read("train").x).any()
    np.testing.assert_array_equal(train.x, kind(examples=30).read("train").x)
    np.testing.assert_array_equal(one.labels("test"), test.y)


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda: AddingProblem(length=1), "length"),
        (lambda: AddingProblem(examples=0), "examples"),
        (lambda: CopyTask(pause=0), "pause"),
        (lambda: CopyTask(symbols=1), "symbols"),
        (lambda: LongLag(lag=0), "lag"),
        (lambda: LongLag(classes=1), "classes"),
    ],
)
def test_arguments_out_of_range_are_named(make, name) -> None:
    with pytest.raises(ValueError, match=f"The '{name}' parameter of"):
        make()
