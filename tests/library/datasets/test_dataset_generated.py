"""Digits and Line against scikit-learn and the closed form."""

import numpy as np
import pytest

from dltool.library.datasets.digits import Digits
from dltool.library.datasets.line import Line


def test_digits_are_those_of_scikit_learn():
    from sklearn.datasets import load_digits

    examples, twin = Digits().read("train"), load_digits()
    assert examples.x.dtype == np.uint8 and examples.x.shape == (1797, 8, 8, 1)
    np.testing.assert_array_equal(examples.x[..., 0], twin.images)
    np.testing.assert_array_equal(examples.y, twin.target)
    assert examples.x.max() == 16


def test_line_lies_within_its_noise():
    examples = Line(samples=500, slope=-2.0, intercept=0.5, noise=0.25, low=1.0, high=4.0).read("train")
    x, y = examples.x, examples.y
    residual = y - (-2.0 * x[:, 0] + 0.5)
    assert x.min() >= 1 and x.max() <= 4 and x.dtype == y.dtype == np.float32
    assert np.abs(residual).max() <= 0.25 + 1e-5
    # U(-a, a) has standard deviation a / sqrt(3) = 0.1443
    assert residual.std() == pytest.approx(0.25 / np.sqrt(3), rel=0.1)


def test_line_depends_on_its_seed_only():
    assert np.array_equal(Line(seed=4).labels("train"), Line(seed=4).labels("train"))
    assert not np.array_equal(Line(seed=4).labels("train"), Line(seed=5).labels("train"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"samples": -1}, "The 'samples' parameter of Line must be an int > 0. Got -1 instead."),
        ({"samples": True}, "'samples'"),
        ({"slope": "3"}, "'slope'"),
        ({"slope": float("nan")}, "'slope'"),
        ({"noise": -0.1}, "'noise' parameter of Line must be a finite number >= 0"),
        ({"low": 1.0, "high": 1.0}, "'high'.*> low"),
        ({"seed": 1.5}, "'seed'"),
    ],
)
def test_wrong_arguments_are_errors(arguments, message):
    with pytest.raises(ValueError, match=message):
        Line(**arguments)
