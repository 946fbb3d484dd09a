"""Monte-Carlo dropout against closed forms: all masks of a small net enumerated, the variance of a linear one."""

from __future__ import annotations

import itertools
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from dltool.training import dropout_passes
from dltool.training.outputs import every_output

KEEP = 0.6
MASKS = np.array([*itertools.product([0, 1], repeat=4)])
CHANCES = KEEP ** MASKS.sum(axis=1) * (1 - KEEP) ** (4 - MASKS.sum(axis=1))
LOGITS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def net(*layers: Any, loss: Any = "mse", inputs: int = 4) -> Any:
    model = keras.Sequential([keras.Input((inputs,)), *layers])
    model.compile("sgd", loss)
    return model


def classifier() -> Any:
    """Four rectified units behind two inputs, dropped with 0.4; three classes."""
    keras.utils.set_random_seed(3)
    layers = [keras.layers.Dense(4, "relu"), keras.layers.Dropout(1 - KEEP), keras.layers.Dense(3)]
    return net(*layers, loss=LOGITS, inputs=2)


def answers(model: Any, x: Any) -> np.ndarray:
    """Return what commands get, in a graph."""
    return np.asarray(tf.function(lambda x: every_output(model, x), autograph=False)(tf.constant(x, tf.float32)))


def softmax(z: np.ndarray) -> np.ndarray:
    raised = np.exp(z - z.max(axis=-1, keepdims=True))
    return raised / raised.sum(axis=-1, keepdims=True)


def test_inverted_dropout_of_a_linear_net_is_scaling_at_test_time_in_expectation() -> None:
    """Slide 55: sum over all masks m of P(m) w . (x m / p) = w . x, and the variance is (1 - p) / p sum (w x)^2."""
    x, kernel = np.array([1.0, -2.0, 0.5, 3.0]), np.array([0.3, 0.1, -0.7, 0.2])
    each = (x * MASKS / KEEP) @ kernel
    assert CHANCES @ each == pytest.approx(x @ kernel), "inverted: scaled by 1 / p in training"
    assert CHANCES @ ((x * MASKS) @ kernel) == pytest.approx(x * KEEP @ kernel), "or by p at test time"
    model = net(keras.layers.Dropout(1 - KEEP), keras.layers.Dense(1, use_bias=False))
    model.set_weights([kernel[:, np.newaxis]])
    assert np.asarray(model(x[np.newaxis]))[0, 0] == pytest.approx(x @ kernel)
    dropout_passes.draw(model, 1)
    drawn = answers(model, np.tile(x, (20_000, 1)))[:, 0]
    assert np.abs(drawn[:, np.newaxis] - each).min(axis=1).max() < 1e-5, "each is the output under one of the masks"
    variance = (1 - KEEP) / KEEP * ((x * kernel) ** 2).sum()
    assert drawn.var() == pytest.approx(variance, rel=0.05)
    assert drawn.mean() == pytest.approx(x @ kernel, abs=4 * np.sqrt(variance / len(drawn)))


def test_the_mean_of_many_passes_is_that_of_all_subnetworks() -> None:
    """Slide 56: the ensemble of 2^4 nets with shared weights, each as probable as its mask."""
    model = classifier()
    x = np.random.default_rng(0).normal(size=(50, 2)).astype(np.float32) * 2
    first, bias, second, last = model.get_weights()
    hidden = np.maximum(x @ first + bias, 0)
    nets = softmax(np.einsum("mu,nu,uc->mnc", MASKS / KEEP, hidden, second) + last)
    ensemble = np.einsum("m,mnc->nc", CHANCES, nets)
    scaled = softmax(np.asarray(model(x)))
    dropout_passes.draw(model, 4000)
    found = softmax(answers(model, x))
    spread = np.sqrt(np.einsum("m,mnc->nc", CHANCES, (nets - ensemble) ** 2) / 4000)
    assert (np.abs(found - ensemble) <= 5 * spread + 1e-6).all()
    assert np.abs(scaled - ensemble).max() > 0.03, "the scaled net only approximates it"


@pytest.mark.parametrize(("loss", "units"), [(LOGITS, 3), (keras.losses.BinaryCrossentropy(from_logits=True), 1)])
def test_probabilities_are_averaged_whatever_the_outputs_are(loss: Any, units: int) -> None:
    def made() -> Any:
        keras.utils.set_random_seed(1)
        return net(keras.layers.Dropout(0.5), keras.layers.Dense(units), loss=loss)

    x = np.random.default_rng(1).normal(size=(8, 4)) * 9
    single, several, (weights, *others) = made(), made(), made().get_weights()
    for model in (single, several):
        model.set_weights([3 * weights, *others])
    dropout_passes.draw(single, 1, seed=5)
    dropout_passes.draw(several, 6, seed=5)
    probable = softmax if units > 1 else lambda z: 1 / (1 + np.exp(-z))
    passes = np.stack([probable(answers(single, x).astype(np.float64)) for _ in range(6)])  # with the same draws
    assert passes.std(axis=0).max() > 0.1
    np.testing.assert_allclose(probable(answers(several, x).astype(np.float64)), passes.mean(axis=0), atol=1e-6)


def test_only_dropout_draws_and_only_for_commands() -> None:
    """A rate of almost nothing shows all others at inference: noise is off, batch normalisation frozen."""
    keras.utils.set_random_seed(2)
    layers = keras.layers
    model = net(
        layers.BatchNormalization(),
        layers.GaussianNoise(0.9),
        layers.Dense(8, activity_regularizer="l2"),
        layers.Dropout(1e-9),
        layers.Dense(2),
    )
    x = np.random.default_rng(2).normal(3, 2, size=(16, 4)).astype(np.float32)
    expected, before = np.asarray(model(x)), model.get_weights()
    dropout_passes.draw(model, 3)
    np.testing.assert_allclose(answers(model, x), expected, rtol=1e-5)
    for weight, old in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weight, old)
    model = classifier()
    scaled = np.asarray(model(x[:, :2]))
    dropout_passes.draw(model, 2)
    assert np.abs(answers(model, x[:, :2]) - scaled).max() > 0.01
    np.testing.assert_array_equal(np.asarray(model(x[:, :2])), scaled)


def test_every_output_of_a_model_of_several_is_averaged_by_its_own_loss() -> None:
    inputs = keras.Input((4,))
    dropped = keras.layers.Dropout(0.5)(inputs)
    outputs = {"size": keras.layers.Dense(1, name="size")(dropped), "kind": keras.layers.Dense(3, name="kind")(dropped)}
    model = keras.Model(inputs, outputs)
    model.compile("sgd", {"size": "mse", "kind": LOGITS})
    dropout_passes.draw(model, 5)
    x = tf.constant(np.random.default_rng(0).normal(size=(6, 4)), tf.float32)
    found = tf.function(lambda: every_output(model, x), autograph=False)()
    assert np.exp(found["kind"]).sum(axis=1) == pytest.approx(1, abs=1e-5), "ln p, which are logits, too"
    assert found["size"].shape == (6, 1)


def test_dropout_inside_attention_draws() -> None:
    inputs = keras.Input((3, 4))
    attended = keras.layers.MultiHeadAttention(1, 4, dropout=0.5)(inputs, inputs)
    model = keras.Model(inputs, keras.layers.Dense(1)(attended))
    model.compile("sgd", "mse")
    x = np.random.default_rng(0).normal(size=(2, 3, 4)).astype(np.float32)
    dropout_passes.draw(model, 1)
    assert np.abs(answers(model, x) - np.asarray(model(x))).max() > 1e-3


@pytest.mark.parametrize("layer", ["Dropout", "SpatialDropout1D", "GaussianDropout", "AlphaDropout"])
def test_a_rate_of_nothing_and_no_dropout_at_all_are_refused(layer: str) -> None:
    made = getattr(keras.layers, layer)
    inputs = keras.Input((4, 2))
    for rate, layers in ((0.5, 1), (0.0, 0)):
        model = keras.Model(inputs, made(rate)(inputs))
        assert len(dropout_passes.find_layers(model)) == layers
    with pytest.raises(ValueError, match="no dropout layer whose rate is above 0"):
        dropout_passes.draw(model, 3)
