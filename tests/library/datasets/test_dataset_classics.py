"""The small datasets of linear models and classics, against scikit-learn and the closed form."""

import numpy as np
import pytest

from dltool.library.datasets.blobs import Blobs
from dltool.library.datasets.box import Box
from dltool.library.datasets.circles import Circles
from dltool.library.datasets.iris import Iris
from dltool.library.datasets.logic_gate import LogicGate
from dltool.library.datasets.noisy_sine import NoisySine
from dltool.library.datasets.outlier import Outlier
from dltool.library.datasets.two_moons import TwoMoons


def _sorted_rows(x, y):
    rows = np.column_stack([x, y]).astype(np.float32).round(5)
    return rows[np.lexsort(rows.T)]


@pytest.mark.parametrize(("ours", "twin"), [(TwoMoons, "make_moons"), (Circles, "make_circles")])
def test_points_without_noise_are_those_of_scikit_learn(ours, twin):
    import sklearn.datasets

    arguments = {"factor": 0.5} if twin == "make_circles" else {}
    examples = ours(samples=31, noise=0.0).read("train")
    points = getattr(sklearn.datasets, twin)(31, noise=None, **arguments)
    np.testing.assert_allclose(_sorted_rows(examples.x, examples.y), _sorted_rows(*points), atol=2e-5)


def test_noise_has_its_standard_deviation_and_parts_differ():
    plain = TwoMoons(samples=4000, noise=0.0)
    points, _ = plain.points(4000)
    noisy = TwoMoons(samples=4000, noise=0.2, test_samples=4000)
    train, test = noisy.read("train"), noisy.read("test")
    # Independent noise adds to the variance of the points: var(x + e) = var(x) + 0.04
    np.testing.assert_allclose(train.x.var(axis=0), points.var(axis=0) + 0.04, rtol=0.05)
    assert not np.array_equal(train.x, test.x)
    assert TwoMoons(test_samples=0).sizes() == {"train": 200}


def test_blobs_lie_around_their_centres():
    centers = [[0.0, 5.0, 1.0], [3.0, -2.0, 1.0], [9.0, 9.0, 9.0]]
    examples = Blobs(samples=3000, centers=centers, stddev=0.5).read("train")
    for label, center in enumerate(centers):
        own = examples.x[examples.y == label]
        assert len(own) == 1000
        np.testing.assert_allclose(own.mean(axis=0), center, atol=0.06)  # 0.5 / sqrt(1000) = 0.016, four times that
        np.testing.assert_allclose(own.std(axis=0), 0.5, rtol=0.1)


@pytest.mark.parametrize(
    ("gate", "rule"),
    [
        ("and", lambda a, b: a & b),
        ("or", lambda a, b: a | b),
        ("nand", lambda a, b: 1 - (a & b)),
        ("nor", lambda a, b: 1 - (a | b)),
        ("xor", lambda a, b: a ^ b),
        ("xnor", lambda a, b: 1 - (a ^ b)),
    ],
)
def test_truth_tables(gate, rule):
    examples = LogicGate(gate).read("train")
    assert {tuple(row) for row in examples.x} == {(0, 0), (0, 1), (1, 0), (1, 1)}
    a, b = examples.x.astype(int).T
    np.testing.assert_array_equal(examples.y, rule(a, b))


def test_irises_are_those_of_scikit_learn_in_the_columns_asked_for():
    from sklearn.datasets import load_iris

    twin, examples = load_iris(), Iris(columns=["petal_width", "sepal_length"]).read("train")
    np.testing.assert_allclose(examples.x, twin.data[:, [3, 0]], rtol=1e-6)
    np.testing.assert_array_equal(Iris().labels("train"), twin.target)
    assert Iris().facts()["class_names"] == list(twin.target_names)


def test_noise_of_the_sine_is_what_is_left_of_it():
    examples = NoisySine(samples=4000, noise=0.1, cycles=2).read("train")
    residual = examples.y - 0.5 - 0.4 * np.sin(4 * np.pi * examples.x[:, 0])
    assert abs(residual.mean()) < 0.01 and residual.std() == pytest.approx(0.1, rel=0.05)
    assert 0 <= examples.x.min() < 0.01 and 0.99 < examples.x.max() <= 1


def test_box_is_one_within_its_interval():
    examples = Box(samples=11, low=0.25, high=0.5).read("test")
    np.testing.assert_array_equal(examples.y, [0, 0, 0, 1, 1, 1, 0, 0, 0, 0, 0])  # x = 0.3, 0.4 and 0.5


def test_the_outlier_is_on_the_wrong_side_of_the_others():
    examples = Outlier(distance=5.0).read("train")
    assert examples.x[-1, 0] == 5 and examples.y[-1] == 0
    np.testing.assert_array_equal(examples.y[:-1], examples.x[:-1, 0] > 0)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: TwoMoons(samples=0), "The 'samples' parameter of TwoMoons must be an int > 0. Got 0 instead."),
        (lambda: TwoMoons(noise=-1), "'noise' parameter of TwoMoons"),
        (lambda: Circles(factor=0.0), "'factor' parameter of Circles"),
        (lambda: Circles(factor=1.5), "'factor' parameter of Circles"),
        (lambda: Blobs(centers=[[1, 2]]), "'centers' parameter of Blobs must be at least two equal rows"),
        (lambda: Blobs(centers=[[1, 2], [3]]), "'centers' parameter of Blobs"),
        (lambda: Blobs(stddev=-1), "'stddev' parameter of Blobs"),
        (lambda: LogicGate("nonsense"), "'gate' parameter of LogicGate must be one of 'and'"),
        (lambda: Iris(columns=["height"]), "'columns' parameter of Iris"),
        (lambda: Iris(columns=[]), "'columns' parameter of Iris"),
        (lambda: NoisySine(cycles=0), "'cycles' parameter of NoisySine must be a number > 0"),
        (lambda: NoisySine(test_samples=-1), "'test_samples'"),
        (lambda: Box(low=0.5, high=0.5), "'high' parameter of Box"),
        (lambda: Box(high=2), "'high' parameter of Box"),
        (lambda: Outlier(distance=3), "'distance' parameter of Outlier must be a number > 3"),
    ],
)
def test_wrong_arguments_are_errors(make, message):
    with pytest.raises(ValueError, match=message):
        make()
