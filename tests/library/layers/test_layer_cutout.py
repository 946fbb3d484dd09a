"""Cut-out against a loop over images."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from dltool.library.layers.cutout import Cutout


def images(count: int = 50) -> np.ndarray:
    return np.random.default_rng(0).uniform(1, 255, (count, 9, 12, 3)).astype(np.float32)


@pytest.mark.parametrize(("size", "fill_value"), [(4, 0.0), (5, -3.5), (1, [1.0, 2.0, 3.0]), (30, 0.0)])
def test_one_square_about_any_pixel_is_filled_and_may_leave_the_border(size: int, fill_value: float) -> None:
    x = images()
    generator = keras.random.SeedGenerator(3)
    rows = np.asarray(keras.random.randint((50,), 0, 9, seed=generator))
    columns = np.asarray(keras.random.randint((50,), 0, 12, seed=generator))
    expected = x.copy()
    for image, row, column in zip(expected, rows, columns, strict=True):
        top, left = row - size // 2, column - size // 2
        image[max(top, 0) : top + size, max(left, 0) : left + size] = fill_value
    np.testing.assert_array_equal(Cutout(size, fill_value, seed=3)(x, training=True), expected)


def test_every_pixel_is_a_centre_as_often() -> None:
    layer = Cutout(1, seed=0)
    hits = np.zeros((3, 4))
    for _ in range(4):
        hits += (np.asarray(layer(np.ones((3000, 3, 4, 1), np.float32), training=True)) == 0).sum(axis=0)[..., 0]
    assert np.abs(hits / 12000 - 1 / 12).max() < 0.01  # its standard deviation is 0.0025


def test_at_inference_it_is_the_identity_and_in_half_precision_it_keeps_the_type() -> None:
    x = images(2)
    np.testing.assert_array_equal(Cutout(4)(x), x)
    assert Cutout(4, dtype="mixed_bfloat16")(x, training=True).dtype == tf.bfloat16


def test_its_configuration_makes_it_again() -> None:
    layer = Cutout(4, 7.0, seed=9)
    again = Cutout.from_config(layer.get_config())
    np.testing.assert_array_equal(again(images(), training=True), layer(images(), training=True))


def test_what_does_not_fit_is_said() -> None:
    with pytest.raises(ValueError, match="'size' parameter of Cutout must be an int > 0. Got 0"):
        Cutout(0)
    with pytest.raises(ValueError, match="a number, or 3 numbers for as many channels"):
        Cutout(4, [1.0, 2.0])(images(2))
