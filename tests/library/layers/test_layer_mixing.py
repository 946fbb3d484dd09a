"""Mix-up and CutMix: images, partners and shares against loops, and their distribution against SciPy's."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from scipy import stats

from dltool.library.layers._mixing import symmetric_beta
from dltool.library.layers.cut_mix import CutMix
from dltool.library.layers.mix_up import MixUp


def images(count: int = 60) -> np.ndarray:
    """Each image of its own number."""
    return np.broadcast_to(np.arange(count, dtype=np.float32)[:, None, None, None], (count, 8, 11, 2)).copy()


def mixed(layer: Any, x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    y, partners, shares = layer.mix(keras.ops.convert_to_tensor(x))
    return np.asarray(y), np.asarray(partners), np.asarray(shares)


@pytest.mark.parametrize("alpha", [0.01, 0.2, 1.0, 3.0])
def test_shares_are_distributed_as_scipys_beta_and_always_numbers(alpha: float) -> None:
    drawn = np.asarray(symmetric_beta((20000,), alpha, keras.random.SeedGenerator(1)))
    assert np.isfinite(drawn).all()
    inside = drawn[(drawn > 1e-4) & (drawn < 1 - 1e-4)]  # float32 makes 1 of what is nearer
    low, high = stats.beta.cdf([1e-4, 1 - 1e-4], alpha, alpha)
    assert len(inside) / 20000 == pytest.approx(high - low, abs=0.015)
    found = stats.kstest(inside, lambda u: (stats.beta.cdf(u, alpha, alpha) - low) / (high - low))
    assert found.pvalue > 0.001


def test_mix_up_blends_each_image_with_its_partner_by_its_share() -> None:
    x = images()
    y, partners, shares = mixed(MixUp(alpha=1.0, seed=2), x)
    assert sorted(partners) == list(range(60))
    assert len(np.unique(shares)) == 60
    for n in range(60):
        np.testing.assert_allclose(y[n], shares[n] * x[n] + (1 - shares[n]) * x[partners[n]], rtol=1e-5)


def test_mix_up_is_of_any_rank() -> None:
    x = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)
    y, partners, shares = mixed(MixUp(alpha=1.0, seed=2), x)
    np.testing.assert_allclose(y, shares[:, None] * x + (1 - shares[:, None]) * x[partners], rtol=1e-5)


def test_cut_mix_pastes_one_rectangle_and_its_share_is_the_area_that_stays() -> None:
    x = images()
    y, partners, shares = mixed(CutMix(seed=5), x)
    at_the_border = 0
    for n in range(60):
        assert set(np.unique(y[n])) <= {x[n, 0, 0, 0], x[partners[n], 0, 0, 0]}
        if partners[n] == n:
            continue
        pasted = y[n, ..., 0] != n
        assert shares[n] == pytest.approx(1 - pasted.mean())
        rows, columns = np.flatnonzero(pasted.any(axis=1)), np.flatnonzero(pasted.any(axis=0))
        if len(rows):
            assert pasted.sum() == (np.ptp(rows) + 1) * (np.ptp(columns) + 1)
            at_the_border += rows[0] == 0 or columns[0] == 0 or rows[-1] == 7 or columns[-1] == 10
    assert at_the_border > 20
    assert 0.3 < shares.mean() < 0.95


def test_cut_mix_rectangles_are_as_large_as_the_paper_says() -> None:
    """int(rows sqrt(1 - lambda)) // 2 on each side of the centre: of 8 rows and lambda = 0.36 int(6.4) // 2 = 3."""
    layer = CutMix(seed=0)
    x = images(400)
    y, shares = layer.blend(x, x + 1000, keras.ops.full((400,), 0.36))
    pasted = np.asarray(y)[..., 0] >= 1000
    assert pasted.any(axis=2).sum(axis=1).max() == 6
    assert pasted.any(axis=1).sum(axis=1).max() == 8  # int(11 * 0.8) = 8, 4 on a side
    np.testing.assert_allclose(shares, 1 - pasted.mean(axis=(1, 2)), atol=1e-6)


@pytest.mark.parametrize("layer", [MixUp(rate=0.25, alpha=1.0, seed=1), CutMix(rate=0.25, seed=1)])
def test_only_the_asked_fraction_is_mixed(layer: Any) -> None:
    x = images(2000)
    y, _, shares = mixed(layer, x)
    whole = shares == 1
    assert whole.mean() == pytest.approx(0.75, abs=0.06)
    np.testing.assert_array_equal(y[whole], x[whole])


@pytest.mark.parametrize("make", [MixUp, CutMix])
def test_called_as_a_layer_it_is_the_identity_and_in_training_refuses(make: Any) -> None:
    x = images(3)
    np.testing.assert_array_equal(make()(x), x)
    with pytest.raises(ValueError, match="mixes targets too: it stands in data.augment itself"):
        make()(x, training=True)


@pytest.mark.parametrize("make", [MixUp, CutMix])
def test_its_configuration_makes_it_again(make: Any) -> None:
    layer = make(0.7, 0.5, seed=3)
    for one, other in zip(mixed(layer, images()), mixed(make.from_config(layer.get_config()), images()), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"alpha": 0}, "'alpha' parameter of CutMix must be a number > 0. Got 0"),
        ({"rate": 1.5}, r"'rate' parameter of CutMix must be in \[0, 1\]. Got 1.5"),
    ],
)
def test_arguments_out_of_range_are_said(arguments: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        CutMix(**arguments)
