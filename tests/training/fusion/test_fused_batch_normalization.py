"""The fused batch normalisation is Keras's own: outputs, gradients, moving averages."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from dltool.training.fusion.fused_batch_normalization import fuse

pytestmark = pytest.mark.skipif(bool(tf.config.list_physical_devices("GPU")), reason="fused without a GPU only")


def net(**arguments: Any) -> keras.Model:
    x = keras.Input((5, 4, 3))
    layer = keras.layers.BatchNormalization(
        gamma_initializer="random_normal", beta_initializer="random_normal", momentum=0.8, **arguments
    )
    return keras.Model(x, layer(x))


def step(model: keras.Model, x: tf.Tensor, weight: tf.Tensor) -> list[np.ndarray]:
    """Outputs in training, gradients by input, gamma and beta, and the weights after it."""
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = model(x, training=True)
        loss = tf.reduce_sum(weight * y**2)
    gradients = tape.gradient(loss, [x, *(v.value for v in model.trainable_variables)])
    return [np.asarray(value) for value in (y, *gradients, *model.get_weights())]


def test_a_step_is_keras_s_own() -> None:
    plain = net()
    fused = keras.models.clone_model(plain)
    fused.set_weights(plain.get_weights())
    assert fuse(fused) == 1
    random = np.random.default_rng(0)
    for _ in range(2):
        x = tf.constant(random.normal(3, 2, (6, 5, 4, 3)), tf.float32)
        weight = tf.constant(random.normal(size=(6, 5, 4, 3)), tf.float32)
        for mine, keras_s in zip(step(fused, x, weight), step(plain, x, weight), strict=True):
            np.testing.assert_allclose(mine, keras_s, rtol=2e-4, atol=2e-4)
    np.testing.assert_array_equal(fused(x, training=False), _unfused(fused)(x, training=False))


def test_means_of_bfloat16_images_are_float32() -> None:
    fused = net(dtype="mixed_bfloat16")
    assert fuse(fused) == 1
    x = tf.cast(np.random.default_rng(0).normal(3, 2, (64, 5, 4, 3)), tf.bfloat16)
    y = fused(x, training=True)
    assert y.dtype == tf.bfloat16
    mean, variance = (
        np.asarray(tf.cast(x, tf.float32)).mean((0, 1, 2)),
        np.asarray(tf.cast(x, tf.float32)).var((0, 1, 2)),
    )
    *_, moving_mean, moving_variance = fused.get_weights()
    np.testing.assert_allclose(moving_mean, 0.2 * mean, rtol=1e-5)  # of 0; bfloat16 means would be off by 4e-3
    np.testing.assert_allclose(moving_variance, 0.8 + 0.2 * variance, rtol=1e-5)
    plain = _unfused(fused)(x, training=True)
    np.testing.assert_allclose(tf.cast(y, tf.float32), tf.cast(plain, tf.float32), rtol=1e-2, atol=2e-2)


def _unfused(model: keras.Model) -> keras.Model:
    """The same model, never fused."""
    other = keras.models.clone_model(model)
    other.set_weights(model.get_weights())
    return other


def test_the_kernel_is_in_the_graph_only_when_training() -> None:
    model = net()
    fuse(model)
    for training in (True, False):
        traced = tf.function(lambda x, training=training: model(x, training=training))
        graph = traced.get_concrete_function(tf.TensorSpec((2, 5, 4, 3))).graph
        assert any(op.type == "FusedBatchNormV3" for op in graph.get_operations()) == training


def test_frozen_layers_keep_their_averages() -> None:
    model = net()
    fuse(model)
    model.layers[1].trainable = False
    before = model.get_weights()
    model(np.random.default_rng(0).normal(5, 2, (2, 5, 4, 3)).astype(np.float32), training=True)
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(new, old)


def test_what_the_kernel_cannot_do_is_left_alone() -> None:
    assert fuse(net(scale=False)) == 0
    assert fuse(net(axis=1)) == 0
    assert fuse(net(dtype="mixed_float16")) == 0
    model = net()
    assert (fuse(model), fuse(model)) == (1, 0)  # not twice
