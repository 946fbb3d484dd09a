"""The layers of LeNet-5 as published, against the paper's counts and naive NumPy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from scipy.signal import correlate2d

from dltool.library.layers.euclidean_rbf import EuclideanRBF, bitmaps
from dltool.library.layers.partial_conv2d import PartialConv2D
from dltool.library.layers.scaled_tanh import ScaledTanh
from dltool.library.layers.sub_sampling import SubSampling
from dltool.recipe import build, reading

# Table I of the paper: rows are S2's maps 0 to 5, columns C3's maps 0 to 15
TABLE_I = """
X...XXX..XXXX.XX
XX...XXX..XXXX.X
XXX...XXX..X.XXX
.XXX..XXXX..X.XX
..XXX..XXXX.XX.X
...XXX..XXXX.XXX
"""


def built(layer: Any, shape: tuple[int, ...]) -> Any:
    layer(keras.Input(shape))
    return layer


def test_lenet5_s_layers_have_the_paper_s_parameters() -> None:
    """Section II-B: C1 156, S2 12, C3 1,516, S4 32, C5 48,120, F6 10,164; altogether 60,000."""
    loaded = reading.load("cnn/lenet5-1998")
    model = build.model(loaded, {"input_shape": (28, 28, 1), "num_classes": 10}, None)
    trainable = [sum(int(np.prod(w.shape)) for w in layer.trainable_weights) for layer in model.layers]
    assert [count for count in trainable if count] == [156, 12, 1516, 32, 48120, 10164]
    assert sum(trainable) == 60_000


def test_c3_is_connected_as_table_1_says() -> None:
    rows = TABLE_I.split()
    expected = [tuple(c for c in range(6) if rows[c][f] == "X") for f in range(16)]
    assert list(PartialConv2D("lenet5", 5).connections) == expected


def test_partial_convolution_is_a_sum_of_correlations_over_connected_channels() -> None:
    layer = built(PartialConv2D([[0], [2, 1], [0, 2]], (3, 2)), (6, 5, 3))
    layer.bias.assign([1.0, 2.0, 3.0])
    x = np.random.default_rng(0).normal(size=(2, 6, 5, 3)).astype(np.float32)
    pairs = [(0, 0), (1, 1), (1, 2), (2, 0), (2, 2)]  # (filter, channel) in the order of the kernel's last axis
    expected = np.ones((2, 4, 4, 3)) * [1, 2, 3]
    for number, (f, channel) in enumerate(pairs):
        for image in range(2):
            window = layer.kernel.numpy()[..., number]
            expected[image, ..., f] += correlate2d(x[image, ..., channel], window, mode="valid")
    np.testing.assert_allclose(layer(x), expected, rtol=1e-4, atol=1e-5)
    assert layer.count_params() == 3 * 2 * 5 + 3


@pytest.mark.parametrize(("padding", "strides"), [("same", 1), ("same", 2), ("valid", 3)])
def test_a_full_table_is_an_ordinary_convolution(padding: str, strides: int) -> None:
    x = np.random.default_rng(0).normal(size=(2, 9, 8, 2)).astype(np.float32)
    partial = built(PartialConv2D([[0, 1]] * 4, 3, strides=strides, padding=padding, activation="relu"), (9, 8, 2))
    ordinary = keras.layers.Conv2D(4, 3, strides=strides, padding=padding, activation="relu")
    ordinary.build((None, 9, 8, 2))
    ordinary.set_weights([partial.full_kernel(), partial.bias])
    np.testing.assert_allclose(partial(x), ordinary(x), rtol=1e-5, atol=1e-6)
    assert partial.compute_output_shape((None, 9, 8, 2)) == ordinary.compute_output_shape((None, 9, 8, 2))


def test_partial_kernels_start_as_those_of_the_whole_convolution() -> None:
    layer = built(PartialConv2D("lenet5", 5, kernel_initializer={"class_name": "GlorotUniform", "config": {"seed": 1}}),
                  (14, 14, 6))  # fmt: skip
    whole = keras.initializers.GlorotUniform(seed=1)((5, 5, 6, 16)).numpy()
    assert np.isin(layer.kernel.numpy(), whole).all()
    assert (layer.full_kernel().numpy() == whole).sum() == 25 * 60


def test_sub_sampling_sums_windows_and_scales_them_a_channel() -> None:
    layer = built(SubSampling((2, 3), activation="relu"), (4, 7, 2))
    x = np.random.default_rng(0).normal(size=(3, 4, 7, 2)).astype(np.float32)
    sums = x[:, :, :6].reshape(3, 2, 2, 2, 3, 2).sum(axis=(2, 4))  # (batch, rows, columns, channels)
    np.testing.assert_allclose(layer(x), np.maximum(sums / 6, 0), rtol=1e-4, atol=1e-6)  # at first the mean
    layer.coefficient.assign([0.5, -2.0])
    layer.bias.assign([0.1, 0.2])
    np.testing.assert_allclose(layer(x), np.maximum(sums * [0.5, -2] + [0.1, 0.2], 0), rtol=1e-4, atol=1e-5)
    assert layer.compute_output_shape((None, 4, 7, 2)) == (None, 2, 2, 2)


def test_scaled_tanh_is_1_at_1_and_its_curvature_greatest_there() -> None:
    """Appendix A: f(1) = 1, f(-1) = -1, and the second derivative is extreme at 1."""
    layer = ScaledTanh()
    np.testing.assert_allclose(layer(np.array([1.0, -1.0, 0.0])), [1, -1, 0], atol=1e-4)
    a = np.linspace(0.2, 3, 2801)
    curvature = np.abs(np.gradient(np.gradient(1.7159 * np.tanh(2 * a / 3), a), a))
    assert abs(a[curvature.argmax()] - 1) < 0.02


def test_rbf_units_give_minus_the_squared_distance() -> None:
    layer = EuclideanRBF([[1.0, 0.0], [0.0, -2.0], [3.0, 3.0]])
    np.testing.assert_allclose(layer(np.array([[1.0, 1.0]], np.float32)), [[-1, -10, -8]])
    assert layer.trainable_weights == []


def test_the_digits_bitmaps_are_far_from_each_other() -> None:
    """12 x 7 pixels of -1 and +1; the paper's own confuse no pair, so neither may these (4 = (1 - -1)^2 a pixel)."""
    centers = bitmaps()
    assert centers.shape == (10, 84)
    assert set(np.unique(centers)) == {-1, 1}
    distances = ((centers[:, None] - centers) ** 2).sum(-1)
    assert distances[~np.eye(10, dtype=bool)].min() >= 4 * 8
    model_says = EuclideanRBF()(centers).numpy().argmax(-1)
    np.testing.assert_array_equal(model_says, np.arange(10))


def test_cross_entropy_of_rbf_outputs_is_the_paper_s_eq_9_without_its_constant() -> None:
    x = np.random.default_rng(0).normal(size=(4, 84)).astype(np.float32)
    labels = np.array([3, 1, 4, 1])
    penalties = ((x[:, None] - bitmaps()) ** 2).sum(-1)
    expected = penalties[np.arange(4), labels] + np.log(np.exp(-penalties.astype(np.float64)).sum(-1))
    found = keras.losses.sparse_categorical_crossentropy(labels, EuclideanRBF()(x), from_logits=True)
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_lenet5_as_published_is_saved_and_opened(tmp_path: Path) -> None:
    loaded = reading.load("cnn/lenet5-1998")
    model = build.model(loaded, {"input_shape": (28, 28, 1), "num_classes": 10}, None)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    x = np.random.default_rng(0).integers(0, 256, (2, 28, 28, 1), np.uint8)
    np.testing.assert_array_equal(again(x), model(x))


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: PartialConv2D("lenet", 5), "must be lenet5, or for each filter a list"),
        (lambda: PartialConv2D([[0, 0]], 5), "different channels"),
        (lambda: PartialConv2D([], 5), "for each filter a list"),
        (lambda: PartialConv2D([[0]], 0), r"'kernel_size' .* ints >= 1. Got 0"),
        (lambda: PartialConv2D([[0]], 1, padding="full"), "must be valid or same. Got 'full'"),
        (lambda: built(PartialConv2D("lenet5", 5), (14, 14, 3)), "need 6 channels, the input has 3"),
        (lambda: SubSampling(0), "must be one or two ints >= 1. Got 0"),
        (lambda: ScaledTanh(slope=-1), "'slope' .* must be a number > 0. Got -1"),
        (lambda: EuclideanRBF("letters"), "must be digits or equal rows of numbers. Got 'letters'"),
        (lambda: EuclideanRBF([[1, 2], [3]]), "equal rows of numbers"),
        (lambda: built(EuclideanRBF(), (80,)), "have 84 numbers, the input 80 features"),
    ],
)
def test_what_does_not_fit_is_said(make: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        make()
