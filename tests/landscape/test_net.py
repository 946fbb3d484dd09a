"""Spectra of nets against NumPy on independent Hessians; slices and lines against closed forms."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from dltool.landscape import spectrum
from dltool.landscape.critical_points import Search, correlate, find_distinct, limit_step, search_from, silence_units
from dltool.landscape.net import Net
from dltool.landscape.slices import draw_direction, find_barrier
from dltool.landscape.verdict import Verdict

TEN = """\
# Ten weights: tanh(x A + a) B + b, squared error with a penalty on A.
data: {dataset: {Npz: ten.npz}, validation_split: 0.25}
model:
  - Dense: {units: 3, activation: tanh, use_bias: false, kernel_regularizer: {L2: 0.0625}}
  - Dense: {units: 1}
compile: {optimizer: {SGD: {learning_rate: 0.1}}, loss: MeanSquaredError}
fit: {epochs: 60, batch_size: 40}
"""
WIDE = """\
# 3,010 weights, or fewer.
data: {dataset: Digits}
model:
  - Rescaling: 0.0625
  - Flatten
  - Dense: {units: 40, activation: tanh}
  - Dense: ${data.num_classes}
compile: {optimizer: sgd, loss: {SparseCategoricalCrossentropy: {from_logits: true}}}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    path = tmp_path_factory.mktemp("landscape")
    rng = np.random.default_rng(0)
    x = rng.normal(size=(50, 2)).astype(np.float32)  # which nets take as it is
    np.savez(path / "ten.npz", x=x, y=np.sin(2 * x[:, 0]) + x[:, 1])
    (path / "ten.yaml").write_text(TEN)
    (path / "wide.yaml").write_text(WIDE)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(path)
        yield path


@pytest.fixture(scope="module")
def ten(folder: Path) -> Net:
    return Net("ten.yaml", [], device="cpu", split="train", limit=0, seed=0)


def make_loss(net: Net):  # type: ignore[no-untyped-def]
    """The loss written in NumPy, on the net's own examples."""
    batch = next(iter(net.objective.pipeline.in_batches_of(net.examples).batches()))
    x, y = (np.asarray(part, np.float64) for part in batch)

    def loss(w: np.ndarray) -> float:
        a, b, c = w[:6].reshape(2, 3), w[6:9], w[9]
        return float(np.mean((np.tanh(x @ a) @ b + c - y.ravel()) ** 2) + 0.0625 * np.sum(a**2))

    return loss


def difference_hessian(loss, w: np.ndarray, step: float = 1e-3) -> np.ndarray:  # type: ignore[no-untyped-def]
    """Second differences of the eighth order in each direction, accurate to 1e-10 and better."""
    coefficients = np.array([-1 / 560, 8 / 315, -1 / 5, 8 / 5, -205 / 72, 8 / 5, -1 / 5, 8 / 315, -1 / 560])

    def second(direction: np.ndarray) -> float:
        values = [loss(w + n * 30 * step * direction) for n in range(-4, 5)]
        return float(coefficients @ values) / (30 * step) ** 2

    size = len(w)
    identity = np.eye(size)
    diagonal = [second(row) for row in identity]
    found = np.diag(diagonal)
    for i in range(size):
        for j in range(i):
            found[i, j] = found[j, i] = (second(identity[i] + identity[j]) - diagonal[i] - diagonal[j]) / 2
    return found


def test_a_net_of_ten_weights_has_numpys_eigenvalues(ten: Net) -> None:
    """Of the loss in NumPy, whose Hessian is that of differences."""
    assert ten.size == 10
    loss = make_loss(ten)
    assert ten.value(ten.start) == pytest.approx(loss(ten.start), rel=1e-13)
    expected = np.linalg.eigvalsh(difference_hessian(loss, ten.start))
    found = ten.spectrum(ten.start, "full", 3, 0)
    assert found.is_complete
    np.testing.assert_allclose(found.eigenvalues, expected, atol=1e-8)


def test_newton_finds_a_critical_point_of_the_loss_in_numpy(ten: Net) -> None:
    found = search_from(ten, ten.start, 1e-6, 1e-8)
    assert found.is_critical and found.verdict.gradient_norm <= 1e-8
    loss = make_loss(ten)
    slopes = [(loss(found.weights + h) - loss(found.weights - h)) / 2e-5 for h in 1e-5 * np.eye(10)]
    np.testing.assert_allclose(slopes, 0, atol=1e-8)
    assert found.loss == pytest.approx(loss(found.weights), rel=1e-12)


def test_silenced_units_have_no_weights_in_or_out() -> None:
    shapes = [(2, 3), (3,), (3, 2), (2,)]
    silent = silence_units(np.arange(1.0, 18.0), shapes, 2)
    np.testing.assert_array_equal(silent, [0, 0, 3, 0, 0, 6, 0, 0, 9, 0, 0, 0, 0, 14, 15, 16, 17])


def test_a_step_is_newtons_if_it_is_short_enough_and_else_as_long_as_the_radius() -> None:
    slopes, eigenvalues = np.array([0.3, -0.2, 0.4]), np.array([-2.0, 0.5, 4.0])
    np.testing.assert_allclose(limit_step(slopes, eigenvalues, 1.0), [0.15, 0.4, -0.1])
    short = limit_step(slopes, eigenvalues, 0.1)
    assert np.linalg.norm(short) == pytest.approx(0.1)
    assert [*np.sign(short)] == [1, 1, -1]  # up along negative curvature, down along positive


def test_the_rank_correlation_counts_points_of_one_loss_once() -> None:
    def point(alpha: float, loss: float, kind: str = "saddle") -> Search:
        return Search(1, loss, 1.0, Verdict(kind, alpha, 0, 0, 0, 0, 0, 0), np.zeros(1), np.zeros(1))

    points = [
        point(0.1, 1.0),
        point(0.1, 1.0 + 1e-8),
        point(0.3, 2.0),
        point(0.2, 3.0),
        point(0.9, 0.1, "not critical"),
    ]
    distinct = find_distinct(points)
    assert [one.loss for one in distinct] == [1.0, 2.0, 3.0]
    assert correlate(distinct) == pytest.approx(0.5)  # ranks 1 3 2 and 1 2 3: 1 - 6 * 2 / (3 * 8)
    assert correlate(distinct[:2]) is None


@pytest.mark.parametrize(("units", "weights"), [(4, 310), pytest.param(40, 3010, marks=pytest.mark.slow)])
def test_lanczos_finds_the_ends_of_the_full_spectrum(folder: Path, units: int, weights: int) -> None:
    overrides = [f"model.2.Dense.units={units}"]
    net = Net("wide.yaml", overrides, device="cpu", split="train", limit=40, seed=0)
    assert net.size == weights
    hessian = net.hessian(net.start)
    every = np.linalg.eigvalsh(hessian)
    ends = net.spectrum(net.start, "ends", 5, 0)
    assert not ends.is_complete and ends.alpha() is None
    np.testing.assert_allclose(ends.eigenvalues, [*every[:5], *every[-5:]], atol=1e-4 * every[-1])
    probes = 8
    density = spectrum.estimate_density(lambda vector: hessian @ vector, weights, probes=probes)
    off = hessian - np.diag(np.diag(hessian))
    deviation = np.sqrt(2 * np.sum(off**2) / probes) / weights  # of the mean of v' H v over random signs
    assert abs(density.nodes @ density.weights - every.mean()) < 4 * deviation
    bound = every[-1] / 20
    assert density.share_below(bound) == pytest.approx(np.mean(every < bound), abs=0.02)


def test_quadrature_is_exact_when_the_basis_is_complete() -> None:
    """With n steps the mean of any f over the probe is v' f(H) v: here exp."""
    rng = np.random.default_rng(1)
    matrix = rng.normal(size=(12, 12))
    matrix += matrix.T
    found = spectrum.estimate_density(lambda vector: matrix @ vector, 12, steps=12, probes=1, seed=5)
    probe = np.random.default_rng(5).choice([-1.0, 1.0], 12) / np.sqrt(12)
    values, vectors = np.linalg.eigh(matrix)
    assert np.exp(found.nodes) @ found.weights == pytest.approx((vectors.T @ probe) ** 2 @ np.exp(values), rel=1e-9)
    grid, heights = found.smooth(4000)
    assert np.trapezoid(heights, grid) == pytest.approx(1, abs=1e-3)


def test_a_directions_columns_have_the_norms_of_the_units_weights(ten: Net) -> None:
    ten.objective.weights = ten.start
    direction = draw_direction(ten.objective.model, ten.objective.variables, seed=3)
    first, second, bias = direction[:6].reshape(2, 3), direction[6:9], direction[9]
    weights = ten.start
    np.testing.assert_allclose(np.linalg.norm(first, axis=0), np.linalg.norm(weights[:6].reshape(2, 3), axis=0))
    assert np.linalg.norm(second) == pytest.approx(np.linalg.norm(weights[6:9]))
    assert bias == 0
    assert np.any(direction != draw_direction(ten.objective.model, ten.objective.variables, seed=4))


def test_the_barrier_is_the_height_above_the_straight_line() -> None:
    shares = np.linspace(-0.5, 1.5, 41)
    # J = t (1 - t) + 2 t lies above the straight line 2 t by t (1 - t), at most 1/4; beyond [0, 1] nothing counts
    losses = shares * (1 - shares) + 2 * shares + 9 * (np.abs(shares - 0.5) > 0.51)
    assert find_barrier(shares, losses) == pytest.approx(0.25)
