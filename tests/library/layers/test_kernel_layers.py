"""PolynomialFeatures, RBF and KernelExpansion against scikit-learn, SciPy and NumPy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from dltool.library.layers import _placement as placement
from dltool.library.layers._kernels import KERNELS
from dltool.library.layers.kernel_expansion import KernelExpansion
from dltool.library.layers.polynomial_features import PolynomialFeatures
from dltool.library.layers.rbf import RBF

RNG = np.random.default_rng(0)
X = RNG.normal(size=(7, 3)).astype(np.float32)


def clouds(count: int = 600) -> np.ndarray:
    """Six normal clouds in the plane."""
    centers = np.array([[0, 0], [4, 0], [0, 4], [4, 4], [8, 2], [-4, 2]], float)
    rng = np.random.default_rng(1)
    return centers[rng.integers(6, size=count)] + rng.normal(size=(count, 2))


@pytest.mark.parametrize("include_bias", [False, True])
@pytest.mark.parametrize("interaction_only", [False, True])
@pytest.mark.parametrize("degree", [1, 2, 3])
def test_polynomial_features_are_those_of_scikit_learn(degree: int, interaction_only: bool, include_bias: bool) -> None:
    from sklearn import preprocessing

    settings: dict[str, Any] = {"degree": degree, "interaction_only": interaction_only, "include_bias": include_bias}
    layer = PolynomialFeatures(**settings)
    expected = preprocessing.PolynomialFeatures(**settings).fit_transform(X)
    np.testing.assert_allclose(layer(X), expected, rtol=1e-5)
    assert layer.compute_output_shape((None, 3)) == (None, expected.shape[1])


def test_products_of_two_inputs_cost_a_multiplication_each() -> None:
    # a, b, c cost nothing, the six products of two of them one each
    assert PolynomialFeatures().multiply_adds([(None, 3)], None) == 6


@pytest.mark.parametrize("kernel", KERNELS)
def test_kernels_are_those_of_scikit_learn(kernel: str) -> None:
    from sklearn.metrics.pairwise import pairwise_kernels

    x, y = np.abs(X), np.abs(RNG.normal(size=(5, 3))).astype(np.float32)
    x[0, 0] = y[0, 0] = 0  # chi2's 0 / 0
    gamma = {} if kernel in ("linear", "cosine", "additive_chi2") else {"gamma": 0.7}
    more = {"degree": 2, "coef0": 0.5} if "poly" in kernel else {"coef0": 0.5} if kernel == "sigmoid" else {}
    layer = KernelExpansion(kernel=kernel, gamma=0.7, degree=2, coef0=0.5)
    np.testing.assert_allclose(
        layer.compute_kernel(x, y), pairwise_kernels(x, y, metric=kernel, **gamma, **more), rtol=1e-4, atol=1e-6
    )
    plain = KernelExpansion(kernel=kernel)  # arguments as scikit-learn leaves them
    np.testing.assert_allclose(plain.compute_kernel(x, y), pairwise_kernels(x, y, metric=kernel), rtol=1e-4, atol=1e-6)


def test_kernel_expansion_sums_kernels_at_the_adapted_samples(tmp_path: Path) -> None:
    layer = KernelExpansion(units=2, gamma=0.5)
    layer.adapt([X[:4], X[4:]])
    coefficients = RNG.normal(size=(7, 2)).astype(np.float32)
    layer.coefficients.assign(coefficients)
    model = keras.Sequential([keras.Input((3,)), layer])
    new = RNG.normal(size=(5, 3)).astype(np.float32)
    expected = [
        sum(a * np.exp(-0.5 * np.sum((x - point) ** 2)) for a, point in zip(coefficients, X, strict=True)) for x in new
    ]
    np.testing.assert_allclose(model.predict(new, verbose=0), expected, rtol=1e-5)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(again.predict(new, verbose=0), expected, rtol=1e-5)


def test_rbf_units_fall_off_as_gaussians(tmp_path: Path) -> None:
    layer = RBF(units=4, centers="random", neighbours=1, overlap=1.5)
    layer.adapt(X)
    centers, sigma = layer.centers.numpy(), layer.sigma.numpy()
    assert all(any(np.allclose(center, x) for x in X) for center in centers)
    for index, center in enumerate(centers):  # the nearest other centre, by hand
        nearest = min(np.linalg.norm(center - other) for other in np.delete(centers, index, axis=0))
        assert sigma[index] == pytest.approx(1.5 * nearest, rel=1e-5)
    model = keras.Sequential([keras.Input((3,)), layer])
    expected = np.exp(-(((X[:, None] - centers) ** 2).sum(axis=2)) / (2 * sigma**2))
    np.testing.assert_allclose(model.predict(X, verbose=0), expected, rtol=1e-4, atol=1e-6)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(again.predict(X, verbose=0), expected, rtol=1e-4, atol=1e-6)


def test_a_unit_a_sample_needs_no_number(tmp_path: Path) -> None:
    layer = RBF(centers="samples", sigma=0.3)
    layer.adapt(iter([X[:3], X[3:]]))
    np.testing.assert_array_equal(layer.centers, X)
    np.testing.assert_allclose(np.diag(layer(X)), 1)
    assert RBF.from_config(layer.get_config()).units == 7


def test_uniform_centres_are_a_grid_over_the_data() -> None:
    line = placement.place(np.array([[2.0], [-1.0], [0.5]]), "uniform", 4, 0)
    np.testing.assert_allclose(line[:, 0], [-1, 0, 1, 2])
    plane = placement.place(np.array([[0.0, 10.0], [1.0, 30.0]]), "uniform", 9, 0)
    assert {tuple(point) for point in plane} == {(x, y) for x in (0, 0.5, 1) for y in (10, 20, 30)}
    with pytest.raises(ValueError, match=r"has k\^2 points, such as 9 or 16\. Got 10"):
        placement.place(plane, "uniform", 10, 0)


def test_kmeans_centres_are_scikit_learns() -> None:
    from sklearn.cluster import KMeans

    samples = clouds()
    twin = KMeans(6, n_init=10, random_state=3).fit(samples)
    error = placement.measure_quantisation_error(samples, placement.place(samples, "kmeans", 6, 0))
    assert error == pytest.approx(twin.inertia_ / len(samples), rel=0.01)


@pytest.mark.parametrize("units", [6, 20])
def test_growing_neural_gas_quantises_as_well_as_kmeans(units: int) -> None:
    """MARKS: within 1.05 of k-means of equal size."""
    samples = clouds()
    gas = placement.place(samples, "growing_neural_gas", units, 0)
    assert gas.shape == (units, 2)
    means = placement.place(samples, "kmeans", units, 0)
    errors = [placement.measure_quantisation_error(samples, centers) for centers in (gas, means)]
    assert errors[0] < 1.05 * errors[1]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: PolynomialFeatures(degree=0), "'degree' parameter of PolynomialFeatures must be an int > 0"),
        (lambda: RBF(), "'units' parameter of RBF must be an int > 0. Got None"),
        (lambda: RBF(3, centers="nonsense"), "'centers' parameter of RBF must be one of samples, uniform"),
        (lambda: RBF(3, sigma=0), "'sigma' parameter of RBF"),
        (lambda: RBF(3, neighbours=0), "'neighbours' parameter of RBF"),
        (lambda: RBF(3, overlap=-1), "'overlap' parameter of RBF"),
        (lambda: RBF(3, seed=-1), "'seed' parameter of RBF"),
        (lambda: RBF(1, centers="growing_neural_gas"), "int > 1 for growing_neural_gas"),
        (lambda: RBF(9).adapt(X), "9 units need as many different samples. Got 7"),
        (lambda: RBF(1).adapt(X), "one centre has no neighbours"),
        (lambda: RBF(centers="samples").adapt(np.ones((4, 2))), "some centres are equal"),
        (lambda: RBF(centers="samples").build((None, 3)), "adapt it"),
        (lambda: RBF(3).adapt(X[:, None]), "put Flatten before it"),
        (lambda: KernelExpansion(kernel="nonsense"), "'kernel' parameter of KernelExpansion must be one of linear"),
        (lambda: KernelExpansion(units=0), "'units' parameter of KernelExpansion"),
        (lambda: KernelExpansion(gamma=0), "'gamma' parameter of KernelExpansion"),
        (lambda: KernelExpansion(degree=-1), "'degree' parameter of KernelExpansion"),
        (lambda: KernelExpansion(coef0=float("nan")), "'coef0' parameter of KernelExpansion"),
        (lambda: KernelExpansion().build((None, 3)), "adapt it"),
    ],
)
def test_wrong_arguments_are_errors(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
