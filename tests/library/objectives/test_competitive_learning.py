"""CompetitiveLearning against Kohonen's rule by hand, a twin in NumPy and scikit-learn's k-means."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from dltool.filters.kernel_pictures import kernels
from dltool.library.layers.rbf import RBF
from dltool.library.objectives.competitive_learning import MEMORY, CompetitiveLearning

RNG = np.random.default_rng(0)
TURNS = np.arange(8) * np.pi / 4
CLOUDS = np.repeat(4 * np.c_[np.cos(TURNS), np.sin(TURNS)], 50, 0) + 0.5 * RNG.normal(size=(400, 2))  # 8 on a circle


def units(centers: Any) -> RBF:
    centers = np.asarray(centers, np.float32)
    layer = RBF(units=len(centers), centers="random")
    layer.build((None, centers.shape[1]))
    layer.centers.assign(centers)
    return layer


def compete(layer: RBF, x: np.ndarray, epochs: int, rate: float, conscience: float, batch: int = 20) -> float:
    """Train by SGD at a rate that falls to 0; return the quantisation error of the last batch."""
    objective = CompetitiveLearning(conscience)
    objective.build(layer, (None, x.shape[1]))
    rng, step, steps = np.random.default_rng(1), 0, epochs * (len(x) // batch)
    gradients = tf.function(objective.gradients)
    for _ in range(epochs):
        order = rng.permutation(len(x))
        for start in range(0, len(x), batch):
            figures, (gradient,) = gradients(tf.constant(x[order[start : start + batch]], tf.float32))
            layer.centers.assign_sub(rate * (1 - step / steps) * gradient)
            step += 1
    return float(figures["quantisation"])


def quantisation(x: np.ndarray, centers: Any) -> float:
    return float(((x[:, None] - np.asarray(centers)) ** 2).sum(-1).min(1).mean())


def test_one_input_moves_the_winner_alone_by_kohonens_rule() -> None:
    """x = (1, 1) is nearest to (0, 0): at the rate 0.1 it becomes (0.1, 0.1). Its squared distance was 2."""
    layer = units([(0, 0), (3, 0)])
    objective = CompetitiveLearning(0)
    objective.build(layer, (None, 2))
    figures, (gradient,) = objective.gradients(tf.constant([[1.0, 1.0]]))
    np.testing.assert_allclose(layer.centers - 0.1 * gradient, [(0.1, 0.1), (3, 0)], rtol=1e-6)
    assert float(figures["quantisation"]) == pytest.approx(2)
    assert objective.trainable == [layer.centers]
    assert 1 < float(figures["units_in_use"]) < 2  # one has won, both counted alike before


def test_batches_move_winners_to_the_means_of_what_they_have_won_as_in_numpy() -> None:
    centers = CLOUDS[[0, 1, 2, 3, 150]].astype(np.float32)
    layer, c, n, p, e = units(centers), centers.astype(float), 5, np.full(5, 0.2), 0.0
    objective = CompetitiveLearning(10)
    objective.build(layer, (None, 2))
    for start in range(0, 400, 80):
        x = CLOUDS[start : start + 80]
        distances = ((x[:, None] - c) ** 2).sum(-1)
        winner, error = (distances + 10 * e * (n * p - 1)).argmin(1), distances.min(1).mean()
        for unit in set(winner):
            c[unit] += 0.5 * (x[winner == unit].mean(0) - c[unit])
        new = len(x) / (len(x) + MEMORY * n)
        p = (1 - new) * p + new * np.bincount(winner, minlength=n) / len(x)
        e = error if e == 0 else (1 - new) * e + new * error
        figures, (gradient,) = objective.gradients(tf.constant(x, tf.float32))
        layer.centers.assign_sub(0.5 * gradient)
        np.testing.assert_allclose(layer.centers, c, rtol=1e-4, atol=1e-4)
        assert float(figures["quantisation"]) == pytest.approx(error, rel=1e-4)
    assert float(figures["units_in_use"]) == pytest.approx(np.exp(-(p * np.log(p)).sum()), rel=1e-4)


def test_with_a_conscience_at_first_centres_are_as_good_as_k_means_from_a_start_where_without_they_are_not() -> None:
    """Eight clouds, and a start with two centres in one and none opposite: plain competition leaves them there."""
    from sklearn.cluster import KMeans

    best = KMeans(8, n_init=4, random_state=0).fit(CLOUDS).inertia_ / len(CLOUDS)
    start = CLOUDS[[200, 201, 50, 100, 150, 250, 300, 350]]
    plain, layer = units(start), units(start)
    compete(plain, CLOUDS, 8, 0.2, 0.0)
    assert quantisation(CLOUDS, plain.centers) > 1.5 * best
    compete(layer, CLOUDS, 8, 0.2, 10.0)
    compete(layer, CLOUDS, 4, 0.2, 0.0)
    assert quantisation(CLOUDS, layer.centers) < 1.05 * best


def test_other_layers_and_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match="CompetitiveLearning trains RBF layers. 'd' is a Dense."):
        CompetitiveLearning().build(keras.layers.Dense(3, name="d"), (None, 2))
    with pytest.raises(ValueError, match="'conscience' parameter of CompetitiveLearning"):
        CompetitiveLearning(-1)


def test_centres_are_drawn_as_images_of_the_models_input() -> None:
    layer = units(np.arange(24).reshape(2, 12))
    pictures = kernels(layer, (3, 4, 1))
    assert pictures is not None and pictures.shape == (2, 1, 3, 4)
    np.testing.assert_array_equal(pictures[1, 0], np.arange(12, 24).reshape(3, 4))


def test_distances_of_many_features_by_a_product_of_matrices_are_those_of_differences() -> None:
    x, centers = RNG.normal(size=(9, 40)).astype(np.float32), RNG.normal(size=(5, 40))
    layer = units(centers)
    layer.sigma.assign(np.full(5, 6.0))
    expected = np.exp(-((x[:, None] - centers) ** 2).sum(-1) / 72)
    np.testing.assert_allclose(layer(x), expected, rtol=1e-5)
    np.testing.assert_allclose(layer(centers.astype(np.float32)).numpy().diagonal(), 1, atol=1e-6)
