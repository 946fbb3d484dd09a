"""Predicted variances against closed forms, numerical integrals, and the mean over many drawn nets."""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy import integrate, stats

from dltool.graph.layer_tree import parts
from dltool.init_stats.declared_variance import initializer_of, promise, redraw, redrawn
from dltool.init_stats.gaussian_moments import GaussianMoments
from dltool.init_stats.measurement import Measurement, measure
from dltool.init_stats.passes import Passes

layers = keras.layers


def compiled(stack: list[Any], loss: str = "mse") -> Any:
    model = keras.Sequential(stack)
    model.compile(keras.optimizers.SGD(0.1), loss)
    model.optimizer.build(model.trainable_variables)
    return model


def over_draws(model: Any, seeds: int, shape: tuple[int, ...], outputs: tuple[int, ...]) -> list[Measurement]:
    """The model drawn and measured anew on Gaussian inputs."""
    # tracing thirty layers takes as long as dozens of passes
    passes, known, rng = Passes(model, compiled=seeds > 10), parts(model), np.random.default_rng(0)
    found = []
    for seed in range(seeds):
        assert redraw(model, known, seed) == []
        x, y = (tf.constant(rng.normal(size=one), tf.float32) for one in (shape, outputs))
        found.append(measure(passes, [(x, y, None)]))
    return found


def mean(found: list[Measurement], figure: str) -> np.ndarray:
    """A figure's mean over draws, a value a layer."""
    return np.mean([[row[figure] for row in one.layers] for one in found], axis=0)


@pytest.mark.parametrize("name", ["relu", "linear", "tanh", "sigmoid", "elu", "selu", "gelu", "softplus", "softsign",
                                  "relu6", "silu", "leaky_relu", "hard_sigmoid"])  # fmt: skip
@pytest.mark.parametrize("variance", [1e-3, 1.7, 40.0])
def test_gaussian_moments_equal_scipys_integrals(name: str, variance: float) -> None:
    function = keras.activations.get(name)
    f = lambda z: float(function(tf.constant([z], tf.float64))[0])  # noqa: E731
    grid = np.linspace(-12, 12, 200_001)
    values = np.asarray(function(tf.constant(math.sqrt(variance) * grid)))
    weight = stats.norm.pdf(grid)
    slopes = np.gradient(values, math.sqrt(variance) * grid)
    expected = [integrate.simpson(v * weight, x=grid) for v in (values, values**2, slopes**2)]
    found = GaussianMoments(function)(np.array([variance]))
    np.testing.assert_allclose([float(v[0]) for v in found], expected, rtol=6e-3, atol=1e-7)
    assert f(0.3) == pytest.approx(np.interp(0.3, math.sqrt(variance) * grid, values), abs=1e-3)


def test_moments_over_a_range_of_variances_are_those_of_each() -> None:
    curve = GaussianMoments(keras.activations.tanh)
    variances = np.linspace(0.01, 9, 37)
    together = curve(variances)
    for index, variance in enumerate(variances):
        alone = curve(np.array([variance]))
        np.testing.assert_allclose([v[index] for v in together], [v[0] for v in alone], rtol=2e-3, atol=1e-9)


def test_a_mean_other_than_zero_is_integrated_about_it() -> None:
    first, second, slope = GaussianMoments(keras.activations.relu)(np.array([1.0]), np.array([2.0]))
    # E max(z, 0) for z ~ N(m, 1) is m Phi(m) + phi(m); E of its square (m^2 + 1) Phi(m) + m phi(m)
    phi, below = stats.norm.pdf(2), stats.norm.cdf(2)
    assert first[0] == pytest.approx(2 * below + phi, rel=1e-4)
    assert second[0] == pytest.approx(5 * below + 2 * phi, rel=1e-4)
    assert slope[0] == pytest.approx(below, rel=2e-3)


def test_softmax_is_no_elementwise_function() -> None:
    with pytest.raises(ValueError, match="elementwise"):
        GaussianMoments(keras.activations.softmax)


INITIALIZERS = {
    "glorot_uniform": 2 / (300 + 500),
    "glorot_normal": 2 / (300 + 500),
    "he_normal": 2 / 300,
    "he_uniform": 2 / 300,
    "lecun_normal": 1 / 300,
    "lecun_uniform": 1 / 300,
    "orthogonal": 1 / 500,
    "random_normal": 0.05**2,
    "random_uniform": 0.1**2 / 12,
    "truncated_normal": 0.05**2 * 0.7737413,  # of a normal cut at 2 sd
}


@pytest.mark.parametrize("name", INITIALIZERS)
def test_promised_variance_is_that_of_a_draw(name: str) -> None:
    initializer = keras.initializers.get(name)
    promised = promise(initializer, (300, 500))
    assert promised is not None
    assert promised.variance == pytest.approx(INITIALIZERS[name], rel=1e-6)
    scores = []
    for seed in range(12):
        fresh = type(initializer).from_config({**initializer.get_config(), "seed": seed})
        scores.append(promised.z_score(np.asarray(fresh((300, 500)))))
    if name == "orthogonal":
        assert scores == [None] * 12
    else:  # the root mean square of 12 standard normal scores is in (0.37, 1.75) but for 1 draw in 1,000
        assert 0.37 < math.sqrt(np.mean(np.square(scores))) < 1.75


def test_fans_of_a_convolution_are_window_times_channels() -> None:
    assert promise(keras.initializers.HeNormal(), (3, 5, 7, 11)).variance == pytest.approx(2 / (3 * 5 * 7))


def test_initialisers_are_found_for_every_weight_of_common_layers() -> None:
    stack = [keras.Input((12, 4)), layers.Conv1D(4, 3), layers.SeparableConv1D(4, 3), layers.BatchNormalization(),
             layers.DepthwiseConv1D(3), layers.EinsumDense("abc,cd->abd", (None, 4), bias_axes="d"),
             layers.PReLU(shared_axes=[1]), layers.GRU(3, return_sequences=True), layers.LSTM(3)]  # fmt: skip
    model = keras.Sequential(stack)
    for part in parts(model):
        for weight in part.layer.trainable_weights if part.kind in ("leaf", "cell") else ():
            assert initializer_of(part.layer, weight) is not None, f"{part.path} {weight.name}"
    bias = model.layers[-1].cell.bias
    np.testing.assert_array_equal(redrawn(model.layers[-1].cell, bias, 0), [0] * 3 + [1] * 3 + [0] * 6)


def test_redrawing_gives_new_weights_of_the_same_seed_again() -> None:
    model = keras.Sequential([keras.Input((5,)), layers.Dense(4), layers.Dense(4)])
    drawn = []
    for seed in (1, 2, 1):
        redraw(model, parts(model), seed)
        drawn.append([np.array(weight) for weight in model.weights])
    assert not np.array_equal(drawn[0][0], drawn[1][0])
    assert all(np.array_equal(a, b) for a, b in zip(drawn[0], drawn[2], strict=True))


@pytest.mark.parametrize(("padding", "strides"), [("same", 1), ("same", 2), ("valid", 1)])
def test_convolutions_count_the_taps_that_fall_on_the_image(padding: str, strides: int) -> None:
    stack = [keras.Input((7, 6, 3)), layers.Conv2D(16, 3, strides=strides, padding=padding, activation="relu"),
             layers.Conv2D(12, 5, padding="same", activation="tanh"), layers.Flatten(), layers.Dense(3)]  # fmt: skip
    found = over_draws(compiled(stack), 24, (24, 7, 6, 3), (24, 3))
    for figure, tolerance in (("pre_variance", 0.08), ("post_variance", 0.08), ("gradient_post_variance", 0.15)):
        measured, predicted = mean(found, figure)[:2], [
            np.mean([one.layers[index][f"{figure}_theory"] or np.nan for one in found]) for index in range(2)
        ]  # fmt: skip
        np.testing.assert_allclose(measured, predicted, rtol=tolerance, err_msg=figure)


def test_residual_sums_dropout_and_batch_normalisation_are_followed() -> None:
    x = inputs = keras.Input((128,))
    x = layers.Dense(128, "relu", kernel_initializer="he_normal", name="stem")(x)
    y = layers.Dropout(0.4)(layers.Dense(128, "relu", kernel_initializer="he_normal", name="branch")(x))
    x = layers.Add()([x, y])
    x = layers.BatchNormalization(name="norm")(layers.Dense(128, kernel_initializer="he_normal", name="after")(x))
    x = layers.Dense(64, "tanh", kernel_initializer="glorot_uniform", name="top")(x)
    model = keras.Model(inputs, layers.Dense(8, name="out")(x))
    model.compile("sgd", "mse")
    model.optimizer.build(model.trainable_variables)
    found = over_draws(model, 20, (64, 128), (64, 8))
    names = [row["layer"] for row in found[0].layers]
    assert {row["theory_from"] for row in found[0].layers} == {"stem"}  # nothing between was measured
    assert {row["gradient_theory_from"] for row in found[0].layers} == {"out"}
    for figure, tolerance in (("pre_variance", 0.1), ("post_variance", 0.1), ("gradient_post_variance", 0.15)):
        for index, name in enumerate(names):
            predicted = [one.layers[index][f"{figure}_theory"] for one in found]
            if predicted[0] is None or found[0].layers[index][figure] is None:
                continue
            assert mean_of(found, index, figure) == pytest.approx(np.mean(predicted), rel=tolerance), f"{name} {figure}"


def mean_of(found: list[Measurement], index: int, figure: str) -> float:
    return float(np.mean([one.layers[index][figure] for one in found]))


@pytest.mark.parametrize(("initializer", "factor"), [("he_normal", 1.0), ("glorot_normal", 0.5)])
def test_he_keeps_and_glorot_halves_the_variance_a_rectifier_layer(initializer: str, factor: float) -> None:
    """The growth a layer in the mean over 5 nets and 29 layers, each with a deviation of sqrt(5 / 256) = 14 %.

    The variance itself at the depth of 30 scatters by sqrt((1 + 5 / 256)^30 - 1), 89 % a net: that mean needs
    hundreds of nets and is `test_variance_after_thirty_layers_is_theorys`.
    """
    stack = [keras.Input((256,)), *(layers.Dense(256, "relu", kernel_initializer=initializer) for _ in range(30))]
    found = over_draws(compiled(stack), 5, (64, 256), (64, 256))
    variances = np.array([[row["post_variance"] for row in one.layers] for one in found])
    growth = variances[:, 1:] / variances[:, :-1]
    assert growth.mean() == pytest.approx(factor, rel=0.046)  # 4 standard deviations
    np.testing.assert_allclose(growth.mean(axis=0), factor, rtol=0.25)
    theory = mean(found, "post_variance_theory")
    # q_1 = 2 for He (n Var(w) = 2), 1 for Glorot; a rectifier's variance is q / 2 - q / (2 pi)
    expected = 2 * factor * (1 / 2 - 1 / (2 * math.pi)) * factor ** np.arange(30)
    np.testing.assert_allclose(theory, expected, rtol=0.02)
    assert found[0].model["verdict"] == ("healthy" if factor == 1 else "vanishing")


@pytest.mark.slow
@pytest.mark.parametrize(("initializer", "factor"), [("he_normal", 1.0), ("glorot_normal", 0.5)])
def test_variance_after_thirty_layers_is_theorys(initializer: str, factor: float) -> None:
    stack = [keras.Input((256,)), *(layers.Dense(256, "relu", kernel_initializer=initializer) for _ in range(30))]
    found = over_draws(compiled(stack), 800, (128, 256), (128, 256))
    np.testing.assert_allclose(mean(found, "post_variance"), mean(found, "post_variance_theory"), rtol=0.1)


PLAIN = keras.initializers.VarianceScaling(1 / 3, "fan_in", "uniform")  # U(-1 / sqrt(n), 1 / sqrt(n))


@pytest.mark.parametrize("name", ["glorot", "plain"])
def test_tanh_net_follows_theory_forward_and_backward(name: str) -> None:
    initializer = PLAIN if name == "plain" else keras.initializers.GlorotUniform()
    stack = [keras.Input((256,))]
    stack += [layers.Dense(256, "tanh", kernel_initializer=initializer.clone()) for _ in range(10)]
    found = over_draws(compiled(stack), 8, (128, 256), (128, 256))
    np.testing.assert_allclose(mean(found, "post_variance"), mean(found, "post_variance_theory"), rtol=0.1)
    rows = range(9)  # the last layer's gradient is where theory begins
    backward = [mean_of(found, index, "gradient_pre_variance") for index in rows]
    predicted = [mean_of(found, index, "gradient_pre_variance_theory") for index in rows]
    np.testing.assert_allclose(backward, predicted, rtol=0.1)
    shrinking = mean(found, "post_variance")[-1] / mean(found, "post_variance")[0]
    # without the 3 of Glorot's 6 / (n + n) a layer keeps a third of its variance, forward and backward
    assert (shrinking < 1e-4) if name == "plain" else (0.05 < shrinking < 0.3)
    assert backward[0] / backward[-1] == pytest.approx(tanh_gradient_ratio(1 / 3 if name == "plain" else 1), rel=0.15)


def tanh_gradient_ratio(gain: float) -> float:
    """Variance of dL/dz of the first of nine tanh layers by that of the ninth, for n Var(w) = gain and inputs N(0, 1).

    By Glorot & Bengio 2010, eq. 5 and 6, with E f^2 and E f'^2 under the Gaussian z in place of a slope of 1.
    """
    nodes, weights = np.polynomial.hermite_e.hermegauss(80)
    weights = weights / weights.sum()
    q, ratio = gain, 1.0
    for _ in range(8):
        values = np.tanh(math.sqrt(q) * nodes)
        ratio *= gain * weights @ (1 - values**2) ** 2
        q = gain * weights @ values**2
    return ratio


def test_a_chain_of_fifty_sigmoids_vanishes_as_the_product_of_derivatives() -> None:
    rng = np.random.default_rng(3)
    model = compiled([keras.Input((1,)), *(layers.Dense(1, "sigmoid") for _ in range(50))])
    weights = rng.uniform(0.8, 1.6, size=50)
    for layer, weight in zip(model.layers, weights, strict=True):
        layer.kernel.assign([[weight]])
    x, y = rng.normal(size=(32, 1)), rng.normal(size=(32, 1))
    found = measure(Passes(model), [(tf.constant(x, tf.float32), tf.constant(y, tf.float32), None)], declared=False)
    a, slopes = x, []
    for weight in weights:
        a = 1 / (1 + np.exp(-np.float64(np.float32(weight)) * a))
        slopes.append(a * (1 - a))
    last = 2 * (a - y) / y.size * slopes[-1]  # dL/dz_50
    first = last * np.prod([w * s for w, s in zip(weights[1:], slopes[:-1], strict=True)], axis=0)
    expected = np.sqrt(np.mean(first**2) / np.mean(last**2))
    assert expected < 1e-25
    assert found.model["first_to_last"] == pytest.approx(expected, rel=1e-3)
    assert found.model["gradient_ratio"] == pytest.approx(1 / expected, rel=1e-3)
    assert found.model["verdict"] == "vanishing"
    # of one unit the chain rule is exact: w^2 E f'(z)^2 from layer to layer
    assert found.layers[0]["gradient_pre_norm"] == pytest.approx(np.linalg.norm(first), rel=1e-3)
