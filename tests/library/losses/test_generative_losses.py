"""Losses of generators and of variational autoencoders against SciPy and closed forms."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from scipy.stats import wasserstein_distance_nd

from dltool.library.losses.bernoulli_likelihood import BernoulliLikelihood
from dltool.library.losses.sliced_wasserstein import SlicedWasserstein

RNG = np.random.default_rng(0)


def test_sliced_wasserstein_of_shifted_and_shuffled_examples_is_the_squared_error_of_the_shift() -> None:
    """<w, s>^2 has the mean |s|^2 / D over unit vectors w, so D times it is |s|^2 = 4 * 0.25."""
    y = RNG.normal(size=(50, 2, 2)).astype("float32")
    shuffled = y[RNG.permutation(50)]
    loss = SlicedWasserstein(projections=20000)
    assert float(loss(y, shuffled)) == pytest.approx(0, abs=1e-9)
    assert float(loss(y, shuffled + 0.5)) == pytest.approx(4 * 0.25, rel=0.03)


def test_sliced_wasserstein_in_one_dimension_is_that_of_sorted_numbers() -> None:
    y, g = RNG.normal(size=(40, 1)).astype("float32"), RNG.normal(1, 2, size=(40, 1)).astype("float32")
    expected = ((np.sort(y[:, 0]) - np.sort(g[:, 0])) ** 2).mean()
    assert float(SlicedWasserstein(3)(y, g)) == pytest.approx(expected, rel=1e-4)
    assert wasserstein_distance_nd(y, g) ** 2 <= expected  # W1 <= W2


def test_bernoulli_likelihood_is_keras_cross_entropy_summed_over_an_example() -> None:
    x, logits = RNG.random((4, 3, 5, 1)).astype("float32"), 8 * RNG.normal(size=(4, 3, 5, 1)).astype("float32")
    expected = 15 * float(keras.losses.BinaryCrossentropy(from_logits=True)(x, logits))
    assert float(BernoulliLikelihood()(x, logits)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("arguments", [{"projections": 0}, {"seed": -1}])
def test_arguments_out_of_range_are_errors(arguments: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=f"'{next(iter(arguments))}' parameter of SlicedWasserstein"):
        SlicedWasserstein(**arguments)
