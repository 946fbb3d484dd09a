"""MaxUnpooling2D: TensorFlow's own indices, gradients to the chosen places, what does not fit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from dltool.library.layers.max_unpooling2d import MaxUnpooling2D

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("size", [2, 3, (1, 2)])
def test_values_go_where_tensorflow_found_the_largest(size: Any) -> None:
    rows, columns = (size, size) if isinstance(size, int) else size
    reference = RNG.integers(0, 5, (2, 3 * rows, 4 * columns, 3)).astype(np.float32)  # with equal values
    window = [1, rows, columns, 1]
    pooled, places = tf.nn.max_pool_with_argmax(reference, window, window, "VALID")  # places within an example
    x = RNG.normal(size=pooled.shape).astype(np.float32)
    expected = np.zeros((2, reference[0].size), np.float32)
    for example in range(2):
        expected[example, places[example].numpy().reshape(-1)] = x[example].reshape(-1)
    found = MaxUnpooling2D(size)([x, reference])
    np.testing.assert_array_equal(found, expected.reshape(reference.shape))


def test_gradients_reach_the_values_and_not_the_reference() -> None:
    reference = tf.constant(RNG.normal(size=(1, 4, 4, 2)).astype(np.float32))
    x = tf.constant(RNG.normal(size=(1, 2, 2, 2)).astype(np.float32))
    weights = RNG.normal(size=(1, 4, 4, 2)).astype(np.float32)
    with tf.GradientTape() as tape:
        tape.watch([x, reference])
        total = tf.reduce_sum(weights * MaxUnpooling2D()([x, reference]))
    to_x, to_reference = tape.gradient(total, [x, reference])
    assert to_reference is None
    place = tf.nn.max_pool2d(reference, 2, 2, "VALID")
    chosen = np.repeat(np.repeat(place, 2, 1), 2, 2) == np.asarray(reference)
    expected = (weights * chosen).reshape(1, 2, 2, 2, 2, 2).sum(axis=(2, 4))
    np.testing.assert_allclose(to_x, expected, rtol=1e-6)


def test_a_model_of_any_size_is_saved_and_loaded(tmp_path: Path) -> None:
    images = keras.Input((None, None, 2))
    pooled = keras.layers.MaxPooling2D(2)(images)
    model = keras.Model(images, MaxUnpooling2D()([pooled, images]))
    model.save(tmp_path / "model.keras")
    x = RNG.uniform(1, 2, (1, 4, 6, 2)).astype(np.float32)
    found = np.asarray(keras.models.load_model(tmp_path / "model.keras")(x))
    assert ((found == x) | (found == 0)).all()
    assert (found != 0).sum() == x.size // 4


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: MaxUnpooling2D(0), "'pool_size' parameter of MaxUnpooling2D must be one or two ints >= 1. Got 0"),
        (lambda: MaxUnpooling2D()(keras.Input((2, 2, 1))), "give both as 'inputs'"),
        (lambda: MaxUnpooling2D()([keras.Input((2, 2, 1)), keras.Input((4, 4, 2))]), r"makes \(4, 4, 1\) of"),
        (lambda: MaxUnpooling2D(3)([keras.Input((2, 2, 1)), keras.Input((4, 4, 1))]), r"makes \(6, 6, 1\) of"),
    ],
)
def test_what_does_not_fit_is_refused(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
