"""Values inside models, the strongest among them, and their way back to the image."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from dltool.filters.activation_maps import Activations
from dltool.filters.strongest import strongest
from dltool.filters.unit_deconvnet import deconvnet


def nested() -> keras.Model:
    keras.utils.set_random_seed(3)
    inner = keras.Sequential([layers.Conv2D(3, 3, activation="tanh", name="conv"), layers.Flatten()], name="inner")
    x = keras.Input((6, 6, 1))
    y = layers.Dropout(0.5)(inner(x))
    return keras.Model(x, layers.Dense(4, activation="softmax", name="head")(y))


def images(n: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(1).normal(size=(n, *shape)).astype(np.float32)


def test_values_are_before_the_nonlinearity_of_the_layer_alone() -> None:
    model, x = nested(), images(5, 6, 6, 1)
    conv, head = Activations(model, ["inner/conv", "head"])(tf.constant(x))
    inner = model.get_layer("inner").get_layer("conv")
    linear = tf.nn.conv2d(x, inner.kernel, 1, "VALID") + inner.bias
    np.testing.assert_allclose(conv, linear, atol=1e-5)
    np.testing.assert_allclose(tf.nn.softmax(head), model(x), atol=1e-6)  # tanh was applied on the way
    assert inner.activation is keras.activations.tanh


def test_nonlinear_values_are_what_the_layers_give() -> None:
    model, x = nested(), images(5, 6, 6, 1)
    conv, head = Activations(model, ["inner/conv", "head"], nonlinear=True)(tf.constant(x))
    np.testing.assert_allclose(conv, model.get_layer("inner").get_layer("conv")(x), atol=1e-6)
    np.testing.assert_allclose(head, model(x), atol=1e-6)


def test_the_strongest_are_those_of_a_full_sort() -> None:
    model, x = nested(), images(23, 6, 6, 1)
    layer = Activations(model, ["inner/conv", "head"])
    conv, head = strongest(layer, (x[start : start + 5] for start in range(0, 23, 5)), count=4)
    values = layer(tf.constant(x))[0].numpy()  # (23, 4, 4, 3)
    for unit in range(3):
        best = values[..., unit].reshape(23, -1).max(axis=1)
        order = np.argsort(-best)[:4]
        assert conv.examples[unit].tolist() == order.tolist()
        np.testing.assert_allclose(conv.values[unit], best[order], rtol=1e-5)
        for example, position in zip(order, conv.positions[unit], strict=True):
            assert values[(example, *position, unit)] == values[example, ..., unit].max()
    np.testing.assert_allclose(conv.spread, values.reshape(-1, 3).std(axis=0), rtol=1e-4)
    assert conv.seen == 23
    assert head.positions.shape == (4, 4, 0)


def test_fewer_examples_than_asked_for_are_all_there() -> None:
    layer = Activations(nested(), ["head"])
    assert strongest(layer, [images(2, 6, 6, 1)], count=9)[0].values.shape == (4, 2)


def test_a_deconvnet_lets_only_what_is_positive_back() -> None:
    """W1 max(0, w2) for one hidden layer of ReLUs, whatever the image; the gradient would also ask which are on."""
    model = keras.Sequential([keras.Input((4, 4, 1)), layers.Flatten(), layers.Dense(6, "relu"), layers.Dense(3)])
    first, second = model.layers[1].kernel.numpy(), model.layers[2].kernel.numpy()
    back, rectified = deconvnet(model, model.layers[2].name, images(3, 4, 4, 1), np.arange(3), np.empty((3, 0), int))
    assert rectified
    for unit in range(3):
        np.testing.assert_allclose(back[unit].ravel(), first @ np.maximum(second[:, unit], 0), atol=1e-6)


def test_without_relus_a_deconvnet_is_the_gradient() -> None:
    model = keras.Sequential([keras.Input((4, 4, 1)), layers.Flatten(), layers.Dense(3)])
    units = np.array([2, 0, 1])
    back, rectified = deconvnet(model, model.layers[1].name, images(3, 4, 4, 1), units, np.empty((3, 0), int))
    assert not rectified
    np.testing.assert_allclose(back.reshape(3, -1), model.layers[1].kernel.numpy().T[units], atol=1e-6)
