"""SpatialSampling and SpatialTransformer: SciPy's reading, central differences, the identity at the start."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers
from scipy import ndimage
from scipy.interpolate import RBFInterpolator

from dltool.library.layers._wiring import copied
from dltool.library.layers.spatial_sampling import KINDS, SpatialSampling
from dltool.library.layers.spatial_transformer import SpatialTransformer

ROWS, COLUMNS, CHANNELS = 9, 12, 2
SIZE = (7, 5)
RNG = np.random.default_rng(3)
IMAGES = RNG.normal(size=(3, ROWS, COLUMNS, CHANNELS))
PARAMETERS = {  # (3 examples, parameters): near the middle, turned, far beyond the border
    "affine": np.array([[0.8, 0.3, 0.1, -0.2, 0.9, -0.15], [0.1, -1.0, 0.0, 1.1, 0.2, 0.4], [2.0, 0, 3, 0, 2, 0.5]]),
    "crop": np.array([[0.6, 0.2, -0.3], [1.3, 0.05, 0.1], [-0.5, 2.0, 0.7]]),
    "thin_plate": np.array(SpatialSampling("thin_plate", control_points=3).identity) + RNG.normal(0, 0.2, (3, 18)),
}


def layer(kind: str, **arguments: Any) -> SpatialSampling:
    return SpatialSampling(kind, control_points=3, dtype="float64", **arguments)


def moved(kind: str, parameters: np.ndarray, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return where places (x, y) in [-1, 1] move, by the formulas."""
    if kind == "affine":
        t = parameters
        return t[0] * x + t[1] * y + t[2], t[3] * x + t[4] * y + t[5]
    if kind == "crop":
        return parameters[0] * x + parameters[1], parameters[0] * y + parameters[2]
    grid = [(column, row) for row in (-1, 0, 1) for column in (-1, 0, 1)]
    spline = RBFInterpolator(np.array(grid, float), parameters.reshape(9, 2), kernel="thin_plate_spline", degree=1)
    found = spline(np.stack([x.reshape(-1), y.reshape(-1)], axis=1))
    return found[:, 0].reshape(x.shape), found[:, 1].reshape(x.shape)


@pytest.mark.parametrize("kind", KINDS)
def test_images_are_read_as_scipy_reads_them_at_the_places_of_the_formulas(kind: str) -> None:
    seen = np.asarray(layer(kind, size=SIZE)([IMAGES, PARAMETERS[kind]]))
    y, x = np.meshgrid(*[(np.arange(n) + 0.5) * 2 / n - 1 for n in SIZE], indexing="ij")
    for image, parameters, output in zip(IMAGES, PARAMETERS[kind], seen, strict=True):
        across, down = moved(kind, parameters, x, y)
        places = [(down + 1) * ROWS / 2 - 0.5, (across + 1) * COLUMNS / 2 - 0.5]
        for channel in range(CHANNELS):
            expected = ndimage.map_coordinates(image[..., channel], places, order=1, mode="grid-constant")
            np.testing.assert_allclose(output[..., channel], expected, atol=1e-10)
    assert np.abs(seen[:2]).max() > 0.5  # not all of it is beyond the border


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_equal_central_differences(kind: str) -> None:
    import tensorflow as tf

    sampling = layer(kind, size=SIZE)
    weights = RNG.normal(size=(3, *SIZE, CHANNELS))
    images, parameters = tf.constant(IMAGES), tf.constant(PARAMETERS[kind])

    def loss(images: Any, parameters: Any) -> Any:
        return tf.reduce_sum(weights * sampling([images, parameters]))

    with tf.GradientTape() as tape:
        tape.watch([images, parameters])
        value = loss(images, parameters)
    to_images, to_parameters = (np.asarray(one) for one in tape.gradient(value, [images, parameters]))
    step = 1e-6
    for index in np.ndindex(*PARAMETERS[kind].shape):
        change = np.zeros_like(PARAMETERS[kind])
        change[index] = step
        slope = (loss(images, parameters + change) - loss(images, parameters - change)) / (2 * step)
        assert to_parameters[index] == pytest.approx(float(slope), rel=1e-5, abs=1e-6)
    direction = RNG.normal(size=IMAGES.shape)
    slope = (loss(images + step * direction, parameters) - loss(images - step * direction, parameters)) / (2 * step)
    assert (to_images * direction).sum() == pytest.approx(float(slope), rel=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_training_begins_with_the_image_as_it_is(kind: str) -> None:
    x = keras.Input((ROWS, COLUMNS, CHANNELS))
    wiring = SpatialTransformer([layers.Conv2D(2, 3, activation="relu")], kind, control_points=3)
    model = keras.Model(x, wiring(x))
    np.testing.assert_allclose(model(IMAGES.astype(np.float32)), IMAGES, atol=1e-5)
    dense = next(one for one in model.layers if isinstance(one, layers.Dense))
    assert not np.any(dense.kernel)


def test_a_model_with_a_transformer_is_saved_and_loaded(tmp_path: Path) -> None:
    x = keras.Input((ROWS, COLUMNS, CHANNELS))
    wiring = SpatialTransformer([layers.Dense(3), layers.Flatten()], "thin_plate", SIZE)
    model = keras.Model(x, wiring(x))
    dense = model.layers[-2]
    dense.kernel.assign(RNG.normal(0, 0.05, dense.kernel.shape))
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    images = IMAGES.astype(np.float32)
    np.testing.assert_allclose(again(images), model(images), atol=1e-6)
    assert again.output_shape == (None, *SIZE, CHANNELS)


def test_copies_have_localisation_nets_of_their_own() -> None:
    first = SpatialTransformer([layers.Dense(3)], "crop", SIZE)
    (second,) = copied([first])
    assert second.localisation[0] is not first.localisation[0]
    assert (second.kind, second.size) == ("crop", SIZE)


def test_mixed_precision_reads_at_exact_places() -> None:
    previous = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        x = keras.Input((64, 64, 1))
        model = keras.Model(x, SpatialTransformer([layers.Conv2D(1, 5)])(x))
    finally:
        keras.config.set_dtype_policy(previous)
    images = RNG.integers(0, 2, (1, 64, 64, 1)).astype(np.float32)
    np.testing.assert_allclose(np.asarray(model(images), np.float32), images, atol=1e-4)  # no pixel is mixed


def test_parameters_are_named() -> None:
    found = layer("affine").explain([IMAGES, PARAMETERS["affine"]])
    np.testing.assert_array_equal(found["theta_12"], PARAMETERS["affine"][:, 1])
    assert list(layer("crop").explain([IMAGES, PARAMETERS["crop"]])) == ["scale", "x", "y"]
    assert list(layer("thin_plate").explain([IMAGES, PARAMETERS["thin_plate"]]))[-1] == "y_9"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SpatialSampling("shear"), "'kind' parameter of SpatialSampling must be one of affine, crop"),
        (lambda: SpatialSampling(size=28), "'size' parameter of SpatialSampling must be two ints > 0"),
        (lambda: SpatialSampling(control_points=1), "'control_points' parameter .* must be an int >= 2. Got 1"),
        (lambda: SpatialTransformer([layers.Dense(2)], size=[0, 3]), "'size' parameter of SpatialTransformer"),
        (lambda: SpatialTransformer(["relu"]), "'localisation' parameter .* must be a list of layers"),
        (lambda: SpatialTransformer([])(keras.Input((3,))), "takes images. Got shape"),
        (lambda: SpatialSampling()(keras.Input((4, 4, 1))), "give both as 'inputs'"),
        (lambda: SpatialSampling()([keras.Input((4, 4, 1)), keras.Input((3,))]), "reads 6 parameters"),
        (lambda: SpatialSampling()([keras.Input((None, 4, 1)), keras.Input((6,))]), "images of known size"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
