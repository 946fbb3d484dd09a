"""PCA colour against NumPy's covariance and eigenvectors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from dltool.library.layers.pca_color import PCAColor


def images(count: int = 40) -> np.ndarray:
    """Correlated colours in [0, 255]."""
    mixing = np.array([[60.0, 10, 0], [50, -20, 5], [40, 0, 25]])
    x = 128 + np.random.default_rng(0).normal(size=(count, 6, 5, 3)) @ mixing.T
    return np.clip(x, 0, 255).astype(np.float32)


def covariance(x: np.ndarray) -> np.ndarray:
    return np.cov(x.reshape(-1, 3).astype(float) / 255, rowvar=False, bias=True)


def adapted(seed: int = 4, **arguments: Any) -> PCAColor:
    layer = PCAColor(seed=seed, **arguments)
    layer.adapt(images())
    return layer


def test_its_components_are_numpys_eigenvectors_times_eigenvalues() -> None:
    eigenvalues, eigenvectors = np.linalg.eigh(covariance(images()))
    found = np.asarray(adapted().components)
    lengths = np.linalg.norm(found, axis=0)
    np.testing.assert_allclose(lengths, eigenvalues, rtol=1e-4)
    along = np.abs(np.sum(found / lengths * eigenvectors, axis=0))  # the sign is free
    np.testing.assert_allclose(along, 1, atol=1e-4)


def test_every_pixel_of_an_image_moves_by_255_times_the_components_times_what_is_drawn() -> None:
    layer, x = adapted(stddev=0.3), images(7)
    drawn = 0.3 * np.asarray(keras.random.normal((7, 3), seed=keras.random.SeedGenerator(4)))
    shift = 255 * drawn @ np.asarray(layer.components).T
    np.testing.assert_allclose(np.asarray(layer(x, training=True)) - x, np.broadcast_to(shift[:, None, None], x.shape),
                               atol=1e-3)  # fmt: skip


def test_shifts_vary_by_the_square_of_the_covariance() -> None:
    """Krizhevsky's sum of alpha_i lambda_i p_i has the covariance stddev^2 P Lambda^2 P^T = stddev^2 C^2."""
    x = np.zeros((20000, 1, 1, 3), np.float32)
    shift = np.asarray(adapted()(x, training=True)).reshape(-1, 3) / 255
    c = covariance(images())
    expected = 0.01 * c @ c
    np.testing.assert_allclose(np.cov(shift, rowvar=False), expected, atol=0.05 * expected.max())


def test_batches_give_the_covariance_of_the_whole_and_the_range_scales_it_out() -> None:
    whole, batched, unit = adapted(), PCAColor(), PCAColor(value_range=(0, 1))
    batched.adapt(tf.data.Dataset.from_tensor_slices(images()).batch(7))
    unit.adapt(images() / 255)
    for other in (batched, unit):
        np.testing.assert_allclose(np.abs(other.components), np.abs(whole.components), atol=1e-6)


def test_at_inference_it_is_the_identity_and_before_it_is_adapted_it_refuses_to_train() -> None:
    x = images(2)
    np.testing.assert_array_equal(adapted()(x), x)
    with pytest.raises(ValueError, match="has no colours yet"):
        PCAColor()(x, training=True)
    with pytest.raises(ValueError, match="adapted to no data"):
        PCAColor().adapt([])


def test_a_saved_model_knows_its_colours(tmp_path: Path) -> None:
    layer, x = adapted(), images(3)
    model = keras.Sequential([keras.Input((6, 5, 3)), layer])
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(again(x, training=True), model(x, training=True), atol=1e-4)


def test_one_channel_becomes_brighter_or_darker_in_any_precision() -> None:
    layer = PCAColor(stddev=1.0, dtype="mixed_bfloat16")
    layer.adapt(images()[..., :1])
    y = layer(images(4)[..., :1], training=True)
    assert y.dtype == tf.bfloat16
    assert y.shape == (4, 6, 5, 1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"stddev": -1}, "'stddev' parameter of PCAColor must be a number >= 0. Got -1"),
        ({"value_range": (1, 1)}, r"'value_range' parameter of PCAColor must be \[low, high\]"),
    ],
)
def test_arguments_out_of_range_are_said(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PCAColor(**arguments)
