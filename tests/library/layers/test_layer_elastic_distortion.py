"""Elastic distortion against SciPy's Gaussian filter and interpolation of the same field."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy.ndimage import gaussian_filter, map_coordinates

from dltool.library.layers.elastic_distortion import ElasticDistortion


def images(shape: tuple[int, ...] = (3, 11, 14, 2)) -> np.ndarray:
    return np.random.default_rng(0).uniform(0, 255, shape).astype(np.float32)


def draws(layer: ElasticDistortion, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """What the layer's first call will draw: noise (batch, 2, columns, rows) and amounts (batch, 5)."""
    batch, rows, columns, _ = shape
    generator = keras.random.SeedGenerator(layer.seed)
    noise = keras.random.uniform((batch, 2, columns, rows), -1, 1, seed=generator)
    return np.asarray(noise), np.asarray(keras.random.uniform((batch, 5), -1, 1, seed=generator))


def by_scipy(layer: ElasticDistortion, x: np.ndarray) -> np.ndarray:
    noise, amounts = draws(layer, x.shape)
    _, rows, columns, channels = x.shape
    grid = np.stack(np.mgrid[:rows, :columns]).astype(float)
    centre = np.array([(rows - 1) / 2, (columns - 1) / 2])[:, None, None]
    y = np.empty_like(x)
    for n, (field, amount) in enumerate(zip(noise, amounts, strict=True)):
        angle = np.deg2rad(layer.rotation * amount[0])
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        matrix = np.diag(1 + layer.scaling * amount[1:3]) @ turn
        at = np.einsum("ij,jrc->irc", matrix, grid - centre) + centre
        at += layer.translation * amount[3:5, None, None]
        for axis in range(2):
            smooth = gaussian_filter(field[axis].T.astype(float), layer.sigma, mode="constant", truncate=4.0)
            at[axis] += layer.alpha * smooth
        for channel in range(channels):
            y[n, ..., channel] = map_coordinates(
                x[n, ..., channel], at, order=1, mode="grid-constant", cval=layer.fill_value
            )
    return y


@pytest.mark.parametrize(
    "arguments",
    [
        {"alpha": 8.0, "sigma": 1.2},
        {"alpha": 30.0, "sigma": 6.0, "fill_value": 7.0},
        {"alpha": 0.0, "rotation": 40.0},
        {"alpha": 0.0, "scaling": 0.5},
        {"alpha": 0.0, "translation": 30.0, "fill_value": -1.0},
        {"alpha": 5.0, "sigma": 2.0, "rotation": 20.0, "scaling": 0.2, "translation": 2.5},
    ],
)
def test_it_is_scipy_s_interpolation_at_the_field_smoothed_by_scipy(arguments: dict[str, float]) -> None:
    x = images()
    layer = ElasticDistortion(**arguments, seed=5)
    expected = by_scipy(layer, x)
    assert np.abs(expected - x).max() > 10
    np.testing.assert_allclose(layer(x, training=True), expected, atol=0.02)  # of 255


def test_at_inference_it_is_the_identity() -> None:
    x = images()
    layer = ElasticDistortion(rotation=10)
    np.testing.assert_array_equal(layer(x, training=False), x)
    np.testing.assert_array_equal(layer(x), x)


def test_equal_images_are_distorted_differently_and_anew_each_time_but_alike_for_equal_seeds() -> None:
    x = np.repeat(images((1, 12, 12, 1)), 4, axis=0)
    first, second = ElasticDistortion(seed=1), ElasticDistortion(seed=1)
    once = np.asarray(first(x, training=True))
    assert all(np.abs(once[0] - once[n]).max() > 1 for n in range(1, 4))
    np.testing.assert_array_equal(second(x, training=True), once)
    assert np.abs(np.asarray(first(x, training=True)) - once).max() > 1


def test_the_field_is_as_strong_as_documented() -> None:
    """Uniform noise of variance 1/3, averaged by a Gaussian: sd = alpha / sqrt(3) / (2 sqrt(pi) sigma)."""
    x = np.broadcast_to(np.arange(64, dtype=np.float32)[:, None], (16, 64, 64))[..., None]  # a pixel tells its row
    moved = np.asarray(ElasticDistortion(alpha=36, sigma=6, seed=2)(x, training=True)) - x
    assert np.std(moved[:, 20:-20, 20:-20]) == pytest.approx(36 * 0.1629 / 6, rel=0.15)


def test_batches_of_any_size_in_a_graph_and_in_half_precision() -> None:
    layer, half = ElasticDistortion(seed=3), ElasticDistortion(seed=3, dtype="mixed_bfloat16")
    x = images((5, 16, 16, 3))

    @tf.function(input_signature=[tf.TensorSpec((None, 16, 16, 3))])
    def distort(batch: Any) -> Any:
        return layer(batch, training=True)

    y = np.asarray(distort(x))
    assert distort(x[:2]).shape == (2, 16, 16, 3)
    rounded = half(x, training=True)
    assert rounded.dtype == tf.bfloat16  # but the positions are not: a step of bfloat16 at 12 pixels is 1/16
    np.testing.assert_allclose(np.asarray(rounded, np.float32), y, atol=1.5)


def test_its_configuration_makes_it_again() -> None:
    layer = ElasticDistortion(20, 4, 5, 0.1, 1, fill_value=2, seed=9)
    again = ElasticDistortion.from_config(layer.get_config())
    np.testing.assert_array_equal(again(images(), training=True), layer(images(), training=True))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"alpha": -1}, "'alpha' parameter of ElasticDistortion must be a number >= 0. Got -1"),
        ({"sigma": 0}, "'sigma' parameter .* > 0. Got 0"),
        ({"scaling": 1}, r"'scaling' parameter .* in \[0, 1\). Got 1"),
        ({"rotation": -3}, "'rotation' parameter .* >= 0. Got -3"),
    ],
)
def test_arguments_out_of_range_are_said(arguments: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ElasticDistortion(**arguments)
