"""Local response normalisation against the paper's formula in naive NumPy."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

from dltool.library.layers.local_response_normalization import LocalResponseNormalization


def naive(a: np.ndarray, size: int, k: float, alpha: float, beta: float) -> np.ndarray:
    """Section 3.3 of Krizhevsky et al., 2012, channel by channel."""
    b = np.empty_like(a)
    channels = a.shape[-1]
    for i in range(channels):
        low, high = max(0, i - size // 2), min(channels - 1, i + size // 2)
        b[..., i] = a[..., i] / (k + alpha * (a[..., low : high + 1] ** 2).sum(-1)) ** beta
    return b


@pytest.mark.parametrize(("size", "k", "alpha", "beta"), [(5, 2, 1e-4, 0.75), (3, 1, 0.5, 0.5), (1, 0.5, 2, 1)])
def test_it_is_the_paper_s_formula(size: int, k: float, alpha: float, beta: float) -> None:
    a = np.random.default_rng(0).normal(scale=3, size=(2, 3, 4, 7)).astype(np.float32)
    layer = LocalResponseNormalization(size, k, alpha, beta)
    np.testing.assert_allclose(layer(a), naive(a, size, k, alpha, beta), rtol=1e-5, atol=1e-6)
    again = LocalResponseNormalization.from_config(layer.get_config())
    np.testing.assert_array_equal(again(a), layer(a))


def test_its_gradient_is_the_numerical_one() -> None:
    import tensorflow as tf

    a = np.random.default_rng(1).normal(size=(1, 1, 1, 6)).astype(np.float32)
    layer = LocalResponseNormalization(3, 1.0, 0.5, 0.75)
    theory, numerical = tf.test.compute_gradient(layer, [tf.constant(a)])
    np.testing.assert_allclose(theory[0], numerical[0], atol=1e-3)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: LocalResponseNormalization(4), "must be an odd int >= 1. Got 4"),
        (lambda: LocalResponseNormalization(k=0), "must be a number > 0. Got 0"),
        (lambda: LocalResponseNormalization()(keras.Input((3,))), "expected ndim=4, found ndim=2"),
    ],
)
def test_what_does_not_fit_is_said(make: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        make()
