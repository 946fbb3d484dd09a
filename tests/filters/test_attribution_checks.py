"""The numbers that come with an attribution: deletion score and random-weights check."""

from __future__ import annotations

import random

import keras
import numpy as np
import pytest
from keras import layers
from scipy import signal, stats

from dltool.filters.deletion import DeletionScore, area
from dltool.filters.methods import attribute
from dltool.filters.randomisation import randomisation, rank_correlation, structural_similarity, verdicts


def linear() -> keras.Model:
    """P(class 1) = sigmoid(2 x1 + 1 x2 - 1 x3 + 0 x4 - 1)."""
    dense = layers.Dense(1, activation="sigmoid")
    model = keras.Sequential([keras.Input((2, 2, 1)), layers.Flatten(), dense])
    dense.set_weights([np.array([[2.0], [1], [-1], [0]]), np.array([-1.0])])
    return model


def digits_net() -> tuple[keras.Model, np.ndarray, np.ndarray]:
    """A net of six layers with ReLUs, trained on scikit-learn's digits, and digits that it has not seen."""
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    x = (x.reshape(-1, 8, 8, 1) / 16).astype(np.float32)
    keras.utils.set_random_seed(1)
    conv = {"kernel_size": 3, "padding": "same", "activation": "relu"}
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            *(layers.Conv2D(16, **conv), layers.Conv2D(16, **conv), layers.MaxPooling2D(2)),
            *(layers.Conv2D(32, **conv), layers.Conv2D(32, **conv), layers.MaxPooling2D(2)),
            *(layers.Flatten(), layers.Dense(64, activation="relu"), layers.Dense(10)),
        ]
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(3e-3), loss, metrics=["accuracy"])
    model.fit(x[:1500], y[:1500], epochs=5, batch_size=32, verbose=0)
    assert model.evaluate(x[1500:], y[1500:], verbose=0)[1] > 0.85
    return model, x[1500:1524], y[1500:1524]


def test_deletion_by_hand() -> None:
    x = np.ones((1, 2, 2, 1))
    deleted = DeletionScore(linear(), steps=4)(x, 1, [[[9.0, 5], [-1, 0]]])
    # removed in the order x1, x2, x4, x3: z = 1, -1, -2, -2, -1
    curve = 1 / (1 + np.exp([-1.0, 1, 2, 2, 1]))
    np.testing.assert_allclose(deleted.curves[0], curve, rtol=1e-5)
    np.testing.assert_allclose(deleted.scores, [(curve[:-1] + curve[1:]).sum() / 2 / 4], rtol=1e-5)


def test_deletion_of_a_class_that_is_not_there_and_with_a_baseline() -> None:
    deleted = DeletionScore(linear(), steps=1, baseline=3.0)(np.zeros((1, 2, 2, 1)), 0, np.zeros((1, 2, 2)))
    # z = -1 at the image and 3 (2 + 1 - 1) - 1 = 5 at the baseline; class 0 has 1 - sigmoid(z)
    np.testing.assert_allclose(deleted.curves[0], 1 / (1 + np.exp([-1.0, 5])), rtol=1e-5)


def test_random_orders_lie_between_the_best_and_the_worst_and_are_those_of_any_map() -> None:
    score, x = DeletionScore(linear(), steps=4, random_orders=64), np.ones((3, 2, 2, 1))
    best, worst = (score(x, 1, sign * np.array([[[2.0, 1], [-1, 0]]] * 3)) for sign in (1, -1))
    assert (best.scores < best.random_scores).all() and (best.random_scores < worst.scores).all()
    np.testing.assert_array_equal(best.random_scores, worst.random_scores)
    other = score(2 * x, 1, np.zeros((3, 2, 2)))
    assert (other.random_scores != best.random_scores).all()


def test_equal_entries_go_in_random_order() -> None:
    x = np.ones((1, 2, 2, 1))
    curves = {
        tuple(DeletionScore(linear(), steps=4, seed=seed)(x, 1, np.zeros((1, 2, 2))).curves[0]) for seed in range(4)
    }
    assert len(curves) > 1


def test_area_of_a_line() -> None:
    np.testing.assert_allclose(area(np.array([[1.0, 0.5, 0.0], [1, 1, 1]])), [0.5, 1.0])


@pytest.mark.parametrize(
    ("maps", "message"),
    [(np.zeros((1, 3, 2)), r"shape \(1, 2, 2\). Got \(1, 3, 2\)"), (np.full((1, 2, 2), np.nan), "must be finite")],
)
def test_maps_that_do_not_fit_are_refused(maps: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DeletionScore(linear())(np.ones((1, 2, 2, 1)), 1, maps)


def test_rank_correlation_is_scipy_s() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 5, (2, 4, 6, 6)).astype(float)
    expected = [stats.spearmanr(one.ravel(), two.ravel()).statistic for one, two in zip(a, b, strict=True)]
    np.testing.assert_allclose(rank_correlation(a, b), expected, atol=1e-12)
    assert rank_correlation(np.ones((1, 3, 3)), a[:1, :3, :3])[0] == 0


@pytest.mark.parametrize("side", [16, 7])
def test_structural_similarity_is_wang_s(side: int) -> None:
    a, b = np.random.default_rng(0).uniform(size=(2, side, side))
    b = 0.5 * a + 0.5 * b
    window = min(11, side)
    g = np.exp(-((np.arange(window) - (window - 1) / 2) ** 2) / (2 * 1.5**2))
    kernel = np.outer(g, g) / g.sum() ** 2

    def mean(x: np.ndarray) -> np.ndarray:
        return signal.convolve2d(x, kernel, mode="valid")

    x, y = a / a.max(), b / b.max()
    mx, my = mean(x), mean(y)
    c1, c2 = 0.01**2, 0.03**2
    expected = ((2 * mx * my + c1) * (2 * (mean(x * y) - mx * my) + c2)) / (
        (mx**2 + my**2 + c1) * (mean(x * x) - mx**2 + mean(y * y) - my**2 + c2)
    )
    np.testing.assert_allclose(structural_similarity(a[None], b[None]), [expected.mean()], atol=1e-4)


def test_guided_and_deconvnet_fail_the_random_weights_check_and_gradients_pass() -> None:
    model, x, y = digits_net()
    names = ["gradient", "smoothgrad", "grad-cam", "guided", "deconvnet"]
    rows = randomisation(model, x, y, names, draws=1, options={"smoothgrad": {"samples": 20}})
    assert [(row["method"], row["randomised"], row["layers"]) for row in rows[:2]] == [
        ("gradient", "upper half", 3),
        ("gradient", "all", 6),
    ]
    found = verdicts(rows)
    assert found == {
        "gradient": "pass",
        "smoothgrad": "pass",
        "grad-cam": "pass",
        "guided": "fail",
        "deconvnet": "fail",
    }


def test_the_check_randomises_all_but_what_was_adapted_and_leaves_the_model() -> None:
    model = keras.Sequential(
        [
            keras.Input((6, 6, 1)),
            normalization := layers.Normalization(axis=None),
            keras.Sequential([layers.Conv2D(3, 3, use_bias=False), layers.BatchNormalization(), layers.ReLU()]),
            layers.Flatten(),
            layers.Dense(2),
        ]
    )
    x = np.random.default_rng(0).normal(5, 2, (8, 6, 6, 1)).astype(np.float32)
    normalization.adapt(x)
    before, state = [w.copy() for w in model.get_weights()], random.getstate()
    rows = randomisation(model, x, 1, ["gradient", "guided"], cascading=True, draws=1, seed=3)
    assert all((a == b).all() for a, b in zip(before, model.get_weights(), strict=True))
    assert random.getstate() == state
    steps = [(row["randomised"], row["layers"], row["verdict"] is None) for row in rows if row["method"] == "guided"]
    assert steps == [("upper half", 1, False), ("batch_normalization", 2, True), ("all", 3, False)]
    assert rows == randomisation(model, x, 1, ["gradient", "guided"], cascading=True, draws=1, seed=3)
    assert rows != randomisation(model, x, 1, ["gradient", "guided"], cascading=True, draws=1, seed=4)


def test_maps_that_the_wiring_decides_fail_whatever_the_weights() -> None:
    """Only two of 16 pixels have a say, in the trained net as in the random one."""
    inputs = keras.Input((4, 4, 1))
    scaled = layers.Conv2D(1, 1, use_bias=False)(inputs)
    model = keras.Model(inputs, layers.Dense(2)(layers.Flatten()(keras.ops.square(scaled))[:, :2]))
    x = np.random.default_rng(0).uniform(1, 2, (3, 4, 4, 1)).astype(np.float32)
    (row,) = [row for row in randomisation(model, x, 0, ["gradient"], draws=2) if row["randomised"] == "all"]
    assert row["spearman"] > 0.5 and row["verdict"] == "fail"
    assert (attribute(model, x, 0, "gradient")[:, 1:] == 0).all()


def test_the_check_needs_images() -> None:
    with pytest.raises(ValueError, match="needs images and draws > 0. Got 0 and 3"):
        randomisation(linear(), np.zeros((0, 2, 2, 1)), 0, ["gradient"])
