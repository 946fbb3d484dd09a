"""Weights of classes by number, by name and balanced, against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest

from dltool.training.class_weighting import class_weights


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        ("balanced", None),
        ({"b": 2.5}, [1, 2.5, 1]),
        ({0: 3.0, "c": 0}, [3, 1, 0]),
    ],
)
def test_weights_of_classes_by_number_name_and_balanced(weights: object, expected: list[float] | None) -> None:
    from sklearn.utils.class_weight import compute_class_weight

    y = np.array([0] * 5 + [1] * 3 + [2] * 12)
    if expected is None:
        expected = compute_class_weight("balanced", classes=np.arange(3), y=y)
    assert class_weights(weights, 3, ["a", "b", "c"], np.bincount(y)) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("weights", "names", "message"),
    [
        ({"d": 1.0}, ["a", "b"], "no class 'd': classes are a, b"),
        ({2: 1.0}, ["a", "b"], "no class 2: classes are a, b"),
        ({1: 1.0}, ["1", "2"], "1 may be a class's number or its name: write the name in quotes, '1'"),
        ({True: 1.0}, ["a", "b"], "no class True"),
        ({"a": -1}, ["a", "b"], "the weight of class 'a' must be a number from 0 to 1e.30. Got -1"),
        ({"a": "x"}, ["a", "b"], "must be a number from 0 to 1e.30. Got 'x'"),
        ({3: 1.0}, [], "no class 3: classes are 0 to 1"),
    ],
)
def test_wrong_weights_of_classes_are_named(weights: dict, names: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        class_weights(weights, 2, names)
