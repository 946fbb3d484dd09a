"""Binarised layers against NumPy and the paper's equations."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy.signal import correlate2d

from dltool.graph.calls import calls
from dltool.graph.multiply_adds import multiply_adds
from dltool.graph.receptive_field import receptive_fields
from dltool.graph.summary import summary
from dltool.library.constraints.weight_clip import WeightClip
from dltool.library.layers import _straight_through as straight_through
from dltool.library.layers.binary_conv2d import BinaryConv2D
from dltool.library.layers.binary_dense import BinaryDense
from dltool.library.layers.binary_sign import BinarySign
from tests.command_line import run, write_quick


def signs(x: Any) -> np.ndarray:
    return np.where(np.asarray(x) >= 0, 1.0, -1.0)


def built(layer: Any, shape: tuple[int, ...], seed: int = 0) -> Any:
    keras.utils.set_random_seed(seed)
    layer(keras.Input(shape))
    generator = np.random.default_rng(seed)
    for weight in layer.weights:
        weight.assign(generator.normal(size=weight.shape))
    return layer


def test_sign_is_exactly_one_or_minus_one_and_zero_is_positive() -> None:
    x = np.concatenate([[0.0, -0.0, 1e-30, -1e-30, np.inf, -np.inf], np.random.default_rng(0).normal(size=10_000)])
    for dtype in (tf.float32, tf.bfloat16):
        found = straight_through.sign(tf.cast(x, dtype))
        assert found.dtype == dtype
        np.testing.assert_array_equal(tf.cast(found, tf.float32), signs(x))


def test_gradient_goes_straight_through_where_the_absolute_value_is_at_most_one() -> None:
    """Eq. 4 of the paper: g_r = g_q 1[|r| <= 1]."""
    x = tf.constant([-2.0, -1.001, -1.0, -0.3, 0.0, 0.9, 1.0, 1.001, 5.0])
    arriving = tf.constant(np.random.default_rng(0).normal(size=9), tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = BinarySign()(x)
    found = tape.gradient(y, x, output_gradients=arriving)
    np.testing.assert_array_equal(found, arriving * [0, 0, 1, 1, 1, 1, 1, 0, 0])


@pytest.mark.parametrize("jit_compile", [False, True], ids=["graph", "xla"])
def test_dense_multiplies_by_signs_and_its_gradients_are_those_of_the_signs(jit_compile: bool) -> None:
    layer = built(BinaryDense(3), (5,))
    generator = np.random.default_rng(1)
    x = tf.constant(generator.normal(size=(4, 5)), tf.float32)
    arriving = tf.constant(generator.normal(size=(4, 3)), tf.float32)

    @tf.function(jit_compile=jit_compile)
    def passes() -> Any:
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x)
        return y, *tape.gradient(y, [x, layer.kernel.value, layer.bias.value], output_gradients=arriving)

    y, of_x, of_kernel, of_bias = passes()
    kernel = layer.kernel.numpy()
    assert (np.abs(kernel) > 1).any() and (np.abs(kernel) < 1).any()
    np.testing.assert_allclose(y, x @ signs(kernel) + layer.bias, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(of_x, arriving @ signs(kernel).T, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(of_kernel, (x.numpy().T @ arriving) * (np.abs(kernel) <= 1), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(of_bias, arriving.numpy().sum(0), rtol=1e-5)


def test_convolution_correlates_with_signs() -> None:
    layer = built(BinaryConv2D(2, (3, 2), activation="relu"), (6, 5, 3))
    x = np.random.default_rng(1).normal(size=(2, 6, 5, 3)).astype(np.float32)
    expected = np.zeros((2, 4, 4, 2)) + layer.bias.numpy()
    for image, f, channel in np.ndindex(2, 2, 3):
        expected[image, ..., f] += correlate2d(x[image, ..., channel], signs(layer.kernel)[..., channel, f], "valid")
    np.testing.assert_allclose(layer(x), np.maximum(expected, 0), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("arguments", [{"strides": 2, "padding": "same"}, {"groups": 2}, {"dilation_rate": (2, 1)}])
def test_convolution_takes_the_arguments_of_keras_s(arguments: dict[str, Any]) -> None:
    """The twin: keras.layers.Conv2D with the signs as its kernel."""
    layer = built(BinaryConv2D(4, 3, **arguments), (9, 8, 2))
    twin = built(keras.layers.Conv2D(4, 3, **arguments), (9, 8, 2))
    twin.set_weights([signs(layer.kernel), layer.bias.numpy()])
    x = np.random.default_rng(1).normal(size=(2, 9, 8, 2)).astype(np.float32)
    np.testing.assert_allclose(layer(x), twin(x), rtol=1e-4, atol=1e-5)
    again = BinaryConv2D.from_config(layer.get_config())
    assert again.get_config() == layer.get_config()


def test_arguments_that_keras_has_at_other_places_are_not_mistaken() -> None:
    """keras.layers.Conv2D's third argument is strides, Dense's second the activation."""
    with pytest.raises(TypeError):
        BinaryConv2D(4, 3, 2)
    with pytest.raises(TypeError):
        BinaryDense(4, "relu")


def test_an_update_moves_the_real_weights_and_clips_them() -> None:
    """Algorithm 1: W = clip(W - rate g 1[|W| <= 1], -1, 1), by hand: x = 1, loss = sum(y), so g = 1; rate 0.5."""
    layer = BinaryDense(4, use_bias=False)
    model = keras.Sequential([keras.Input((1,)), layer])
    model.compile(keras.optimizers.SGD(0.5), loss=lambda y, predicted: tf.reduce_sum(predicted))
    layer.kernel.assign([[0.3, -0.2, -0.7, 1.0]])
    model.train_on_batch(np.ones((1, 1), np.float32), np.zeros((1, 4), np.float32))
    np.testing.assert_allclose(layer.kernel, [[-0.2, -0.7, -1.0, 0.5]], rtol=1e-6)


def test_saved_and_loaded_they_compute_and_learn_the_same(tmp_path: Path) -> None:
    keras.utils.set_random_seed(0)
    model = keras.Sequential([
        keras.Input((6, 6, 2)),
        BinaryConv2D(4, 3, use_bias=False, padding="same"),
        keras.layers.BatchNormalization(),
        BinarySign(),
        keras.layers.Flatten(),
        BinaryDense(3, kernel_constraint=WeightClip(0.5)),
    ])  # fmt: skip
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    x = np.random.default_rng(0).normal(size=(5, 6, 6, 2)).astype(np.float32)
    np.testing.assert_array_equal(again(x), model(x))
    for one, other in zip(model.get_weights(), again.get_weights(), strict=True):  # the real weights, not their signs
        np.testing.assert_array_equal(one, other)
    assert np.abs(model.layers[0].kernel).max() < 1
    found = [again.layers[index].kernel_constraint for index in (0, -1)]
    assert [(type(one), one.clip_value) for one in found] == [(WeightClip, 1.0), (WeightClip, 0.5)]


def test_summary_counts_them_and_their_bits() -> None:
    x = keras.Input((8, 8, 1))
    convolution, dense = BinaryConv2D(4, 3, padding="same"), BinaryDense(10, use_bias=False)
    y = keras.layers.Flatten()(BinarySign()(convolution(x)))
    model = keras.Model(x, dense(y))
    rows, totals = summary(model, 1)
    assert [row["parameters"] for row in rows] == [4 * 9 + 4, 0, 0, 8 * 8 * 4 * 10]
    assert [row["multiply_adds"] for row in rows] == [64 * 9 * 4, 0, 0, 2560]
    assert totals["weight_bytes"] == 4 * (40 + 2560)
    assert totals["packed_weight_bytes"] == 5 + 4 * 4 + 2560 // 8  # 36 bits in 5 bytes, 4 real biases
    assert [fields and fields[0].size for fields in receptive_fields(calls(model))][:2] == [3, 3]
    assert multiply_adds(dense, [(None, 256)], (None, 10)) == 2560
    plain = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    assert summary(plain, 1)[1]["packed_weight_bytes"] == summary(plain, 1)[1]["weight_bytes"] == 32


def test_init_stats_expects_the_variance_of_signs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of 64 inputs of unit variance a sum with weights -1 and +1 has variance 64, however small the real weights."""
    text = (
        "data: {dataset: Digits}\n"
        "model: [Flatten, {BinaryDense: {units: 400, kernel_initializer: {RandomNormal: {stddev: 0.01}}}}, "
        "{Dense: '${data.num_classes}'}]\n"
        "compile: {optimizer: adam, loss: {SparseCategoricalCrossentropy: {from_logits: true}}}\n"
    )
    done = run(capsys, "init-stats", write_quick(tmp_path, text=text), "--input", "gaussian", "--format", "json")
    assert done.status == 0, done.err
    (row,) = [row for row in json.loads(done.out)["layers"] if row["layer"].startswith("binary_dense")]
    assert row["post_variance_theory"] == pytest.approx(64, rel=0.1)
    assert row["post_variance"] == pytest.approx(64, rel=0.15)
