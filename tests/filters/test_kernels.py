"""Kernels as pictures, what is dead or alike among them, and the Gabor functions that they are like."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers

from dltool.filters.gabor import fit_gabor
from dltool.filters.kernel_pictures import (
    Kernels,
    dead,
    kernel_film,
    kernel_flaws,
    kernel_picture,
    kernel_rows,
    kernels,
    nearest,
)


@pytest.mark.parametrize(
    ("layer", "shape", "size"),
    [
        (lambda: layers.Conv2D(7, (3, 5)), (9, 9, 2), (7, 2, 3, 5)),
        (lambda: layers.Conv2DTranspose(7, (3, 5)), (9, 9, 2), (7, 2, 3, 5)),
        (lambda: layers.DepthwiseConv2D(3, depth_multiplier=2), (9, 9, 4), (8, 1, 3, 3)),
        (lambda: layers.SeparableConv2D(5, 3), (9, 9, 4), (4, 1, 3, 3)),
        (lambda: layers.Conv1D(6, 5), (9, 3), (6, 1, 3, 5)),
        (lambda: layers.Conv3D(2, (2, 3, 5)), (4, 9, 9, 3), (2, 6, 3, 5)),
        (lambda: layers.Embedding(11, 4), (3,), (11, 1, 1, 4)),
        (lambda: layers.Dense(6), (13,), (6, 1, 1, 13)),
    ],
)
def test_kernels_are_units_channels_rows_columns(layer: object, shape: tuple, size: tuple) -> None:
    made = layer()  # type: ignore[operator]
    made.build((None, *shape))
    assert kernels(made, shape).shape == size


def test_every_weight_is_where_it_belongs() -> None:
    layer = layers.Conv2D(4, (3, 2))
    layer.build((None, 5, 5, 3))
    kernel = layer.kernel.numpy()
    assert kernels(layer, (5, 5, 3))[3, 2, 1, 0] == kernel[1, 0, 2, 3]
    depthwise = layers.DepthwiseConv2D(3, depth_multiplier=2)
    depthwise.build((None, 5, 5, 4))
    assert kernels(depthwise, (5, 5, 4))[3 * 2 + 1, 0, 0, 2] == depthwise.kernel.numpy()[0, 2, 3, 1]
    signal = layers.Conv1D(4, 5)
    signal.build((None, 9, 3))
    assert kernels(signal, (9, 3))[1, 0, 2, 4] == signal.kernel.numpy()[4, 2, 1]


def test_a_dense_layer_on_a_flattened_image_shows_images() -> None:
    model = keras.Sequential([keras.Input((4, 3, 2)), layers.Flatten(), layers.Dense(5)])
    found = kernels(model.layers[1], (4, 3, 2))
    assert found.shape == (5, 2, 4, 3)
    image = np.zeros((1, 4, 3, 2), np.float32)
    image[0, 3, 1, 1] = 1
    np.testing.assert_allclose(model(image)[0], found[:, 1, 3, 1], rtol=1e-6)


def test_what_has_no_kernel_is_none() -> None:
    lstm = layers.LSTM(3)
    lstm.build((None, 4, 2))
    assert kernels(layers.Flatten(), (3,)) is None
    assert kernels(lstm, (4, 2)) is None


def test_dead_filters_and_near_duplicates_are_listed() -> None:
    array = np.random.default_rng(0).normal(size=(8, 2, 5, 5))
    array[3] *= 1e-3
    array[6] = -1.7 * array[1] + 0.01 * array[2]  # the opposite is the same filter with its sign turned
    assert dead(np.linalg.norm(array.reshape(8, -1), axis=1)).tolist() == [unit == 3 for unit in range(8)]
    others, cosines = nearest(array)
    assert (others[1], others[6]) == (6, 1)
    assert cosines[6] < -0.99
    flaws = kernel_flaws(Kernels("conv", "Conv2D", array))
    assert [(row["unit"], row["flaw"], row["like"]) for row in flaws] == [
        (1, "near-duplicate", 6),
        (3, "dead", None),
        (6, "near-duplicate", 1),
    ]


def gabor(orientation: float, frequency: float, phase: float = 0.7, size: int = 11) -> np.ndarray:
    """Stripes at an angle that counts from the horizontal, anticlockwise on the screen, where rows go down."""
    rows, columns = np.mgrid[:size, :size] - (size - 1) / 2
    angle = np.radians(orientation)
    across = columns * np.sin(angle) + rows * np.cos(angle)  # 0 along (column, row) = (cos, -sin)
    along = columns * np.cos(angle) - rows * np.sin(angle)
    return np.exp(-(across**2) / 8 - along**2 / 18) * np.cos(2 * np.pi * frequency * across + phase)


@pytest.mark.parametrize("orientation", [0, 20, 45, 90, 135, 170])
@pytest.mark.parametrize("frequency", [0.12, 0.25])
def test_a_gabor_function_is_recovered(orientation: float, frequency: float) -> None:
    noise = 0.02 * np.random.default_rng(1).normal(size=(11, 11))
    found = fit_gabor(3 * gabor(orientation, frequency) + noise + 0.2)
    assert found is not None
    assert abs((found.orientation - orientation + 90) % 180 - 90) < 3
    assert abs(found.frequency - frequency) < 0.02
    assert found.r2 > 0.98


def test_a_coloured_gabor_function_is_recovered_from_its_principal_component() -> None:
    found = fit_gabor(np.stack([weight * gabor(60, 0.2) for weight in (1.0, -0.5, 0.1)]))
    assert found is not None
    assert found.orientation == pytest.approx(60, abs=3)


def test_noise_is_no_gabor_function_and_small_kernels_are_not_fitted() -> None:
    noise = fit_gabor(np.random.default_rng(2).normal(size=(11, 11)))
    assert noise is not None and noise.r2 < 0.6
    assert fit_gabor(np.ones((3, 3))) is None
    assert fit_gabor(np.ones((7, 7))) is None


def test_colours_are_for_the_first_layer_alone() -> None:
    array = np.random.default_rng(0).normal(size=(4, 3, 5, 5))
    for first, shape in ((True, (5, 5, 3)), (False, (5, 5))):
        made = Kernels("conv", "Conv2D", array, first)
        picture = kernel_picture(made, kernel_rows(made, range(4)), "filter", "norm")
        assert {tile.shape for tile in picture.tiles} == {shape}


def test_scaling_is_by_filter_or_shared_and_sorting_by_norm() -> None:
    array = np.stack([np.full((1, 3, 3), 1.0), np.full((1, 3, 3), -4.0)])
    made = Kernels("conv", "Conv2D", array)
    rows = kernel_rows(made, [0, 1])
    by_filter = kernel_picture(made, rows, "filter", "norm").tiles
    assert [int(tile[0, 0]) for tile in by_filter] == [0, 255]  # unit 1 first: its norm is larger
    shared = kernel_picture(made, rows, "shared", "index").tiles
    assert [int(tile[0, 0]) for tile in shared] == [159, 0]  # 127.5 + 127.5 / 4 = 159.4


def test_a_film_has_a_frame_a_checkpoint_of_one_size() -> None:
    arrays = np.random.default_rng(0).normal(size=(3, 4, 1, 5, 5))
    made = [Kernels("conv", "Conv2D", array) for array in arrays]
    frames = kernel_film(made, ["1", "a much longer name than the sheet is wide " * 3, "3"], [0, 2], "filter")
    assert len(frames) == 3
    assert len({frame.shape for frame in frames}) == 1
