"""Activation maximisation against closed forms, and every regulariser as what it says."""

from __future__ import annotations

import itertools
from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from scipy import ndimage

from dltool.filters.activation_maps import Activations
from dltool.filters.image_parameters import ImageParameters
from dltool.filters.maximisation import Ascent, Maximised, maximise
from dltool.filters.strongest import mask
from dltool.filters.transformations import blurred, jittered, turned
from dltool.output.pixels import PixelRange

PIXELS = PixelRange(0.0, 2.0, np.array([0.6], np.float32), 3.0)
PLAIN = Ascent(steps=200, l2=0, total_variation=0)
SHAPE = (9, 9, 1)


def convolution() -> keras.Model:
    keras.utils.set_random_seed(0)
    return keras.Sequential([keras.Input(SHAPE), layers.Conv2D(4, 5, activation="relu", name="layer")])


def climb(parameters: ImageParameters, ascent: Ascent, **options: object) -> Maximised:
    layer = Activations(convolution(), ["layer"])
    options.setdefault("units", [0, 1, 2, 3])
    units = options.pop("units")
    return maximise(lambda x: layer(x)[0], parameters, units, ascent, **options)  # type: ignore[arg-type]


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    return float(a.ravel() @ b.ravel() / np.linalg.norm(a) / np.linalg.norm(b))


MIDDLE = mask((slice(2, 7), slice(2, 7)), SHAPE[:2])  # what the unit at (2, 2) of 5 x 5 sees


@pytest.mark.parametrize(("bound", "l2"), [("norm", 0.0), ("none", 2.0)])
def test_a_linear_unit_s_image_has_the_direction_of_its_kernel(bound: str, l2: float) -> None:
    found = climb(ImageParameters(SHAPE, PIXELS, bound, mask=MIDDLE), replace(PLAIN, l2=l2))
    kernels = convolution().get_layer("layer").kernel.numpy()
    for unit in range(4):
        deviation = found.images[unit, 0, 2:7, 2:7, 0] - 0.6
        assert cosine(deviation, kernels[..., 0, unit]) > 0.99


def test_a_dense_linear_unit_s_image_has_the_direction_of_its_weights() -> None:
    model = keras.Sequential([keras.Input(SHAPE), layers.Flatten(), layers.Dense(3, name="layer")])
    layer = Activations(model, ["layer"])
    found = maximise(lambda x: layer(x)[0], ImageParameters(SHAPE, PIXELS, "norm"), range(3), PLAIN)
    for unit in range(3):
        assert cosine(found.images[unit, 0] - 0.6, model.layers[1].kernel.numpy()[:, unit]) > 0.99


def test_the_norm_is_the_data_s_in_what_the_unit_sees() -> None:
    found = climb(ImageParameters(SHAPE, PIXELS, "norm", mask=MIDDLE), PLAIN)
    norms = np.linalg.norm((found.images - 0.6).reshape(4, -1), axis=1)
    np.testing.assert_allclose(norms, 3.0 * np.sqrt(25 / 81), rtol=1e-4)


def test_l2_has_the_optimum_of_its_formula() -> None:
    """max of 2 w.z / s - (5 / 25) |z|^2, the range being 2: z = w / s * 5, with the spread s = 10."""
    ascent = replace(PLAIN, l2=5, steps=400, rate=0.02)
    parameters = ImageParameters(SHAPE, PIXELS, "none", mask=MIDDLE)
    found = climb(parameters, ascent, spreads=np.full(4, 10.0))
    kernels = convolution().get_layer("layer").kernel.numpy()
    z = (found.images[:, 0, 2:7, 2:7, 0] - 0.6) / 2
    np.testing.assert_allclose(z, kernels[..., 0, :].transpose(2, 0, 1) / 10 * 5, atol=0.01)


def test_images_keep_to_the_range_and_reach_its_ends() -> None:
    found = climb(ImageParameters(SHAPE, PIXELS), PLAIN).images[:, 0, 2:7, 2:7]
    assert 0 <= found.min() < 0.05 and 1.95 < found.max() <= 2


def test_the_activation_is_that_of_the_image() -> None:
    found = climb(ImageParameters(SHAPE, PIXELS), Ascent(steps=30, jitter=1), units=[3, 1])
    values = Activations(convolution(), ["layer"])(tf.constant(found.images[:, 0]))[0].numpy()
    np.testing.assert_allclose(found.activations[:, 0], values[[0, 1], 2, 2, [3, 1]], rtol=1e-5)


def test_a_channel_s_mean_is_maximised_over_all_positions() -> None:
    unit = climb(ImageParameters(SHAPE, PIXELS), PLAIN, objective="unit")
    channel = climb(ImageParameters(SHAPE, PIXELS), PLAIN, objective="channel")
    layer = Activations(convolution(), ["layer"])
    means = [np.diag(layer(tf.constant(one.images[:, 0]))[0].numpy().mean((1, 2))) for one in (unit, channel)]
    assert (means[1] > means[0]).all()
    np.testing.assert_allclose(channel.activations[:, 0], means[1], rtol=1e-4)


def variation(images: np.ndarray) -> float:
    """Of images or signals (units, copies, ..., channels)."""
    return float(sum(np.abs(np.diff(images, axis=axis)).sum() for axis in range(2, images.ndim - 1)))


@pytest.mark.parametrize("regulariser", [{"total_variation": 4.0}, {"blur": 0.8}])
def test_a_smoothing_regulariser_smooths(regulariser: dict[str, float]) -> None:
    plain, smooth = (climb(ImageParameters(SHAPE, PIXELS), replace(PLAIN, **extra)) for extra in ({}, regulariser))
    assert variation(smooth.images) < 0.75 * variation(plain.images)


def high(images: np.ndarray) -> float:
    """The share of the power at more than 0.25 cycles a pixel, of images (n, rows, columns)."""
    rows, columns = np.fft.fftfreq(images.shape[1])[:, None], np.fft.fftfreq(images.shape[2])[None]
    power = np.abs(np.fft.fft2(images - images.mean((1, 2), keepdims=True))) ** 2
    return float(power[:, np.hypot(rows, columns) > 0.25].sum() / power.sum())


@pytest.mark.parametrize("penalty", [0.0, 2.0])
def test_blur_keeps_most_of_the_activation_and_takes_high_frequencies(penalty: float) -> None:
    """A kernel that is a wave of 8 pixels with noise on it, as trained kernels are smooth with some noise."""
    rng = np.random.default_rng(0)
    wave = np.sin(2 * np.pi * np.arange(9) / 8 + np.arange(4)[:, None])  # (units, columns)
    kernels = np.broadcast_to(wave[:, None], (4, 9, 9)) + rng.normal(0, 0.3, (4, 9, 9))
    weights = tf.constant(kernels.reshape(4, 81).T, tf.float32)

    def found(blur: float) -> Maximised:
        ascent = Ascent(l2=penalty, total_variation=penalty, blur=blur)  # 256 steps
        parameters = ImageParameters(SHAPE, PIXELS)
        return maximise(lambda x: tf.reshape(x - 0.6, [-1, 81]) @ weights, parameters, range(4), ascent)

    sharp, smooth = found(0.0), found(0.5)
    assert (smooth.activations > 0.5 * sharp.activations).all()
    assert high(smooth.images[:, 0, ..., 0]) < 0.5 * high(sharp.images[:, 0, ..., 0])


def test_the_blur_is_a_gaussian_after_every_fourth_step() -> None:
    def after(steps: int, blur: float) -> np.ndarray:
        return climb(ImageParameters(SHAPE, PIXELS, "none"), replace(PLAIN, steps=steps, blur=blur)).images[:, 0]

    np.testing.assert_allclose(after(3, 0.7), after(3, 0), atol=1e-6)
    wanted = ndimage.gaussian_filter(after(4, 0), 0.7, mode="nearest", radius=3, axes=(1, 2))
    np.testing.assert_allclose(after(4, 0.7), wanted, atol=1e-5)


def test_a_fourier_parameterisation_begins_with_low_frequencies() -> None:
    early = replace(PLAIN, steps=3)
    images = [climb(ImageParameters(SHAPE, PIXELS, "none", fourier), early).images[:, 0, ..., 0] for fourier in (0, 1)]
    rows, columns = np.fft.fftfreq(9)[:, None], np.fft.fftfreq(9)[None]
    low = (np.hypot(rows, columns) < 0.25) & (np.hypot(rows, columns) > 0)
    power = [np.abs(np.fft.fft2(one - one.mean((1, 2), keepdims=True))) ** 2 for one in images]
    shares = [float(one[:, low].sum() / one.sum()) for one in power]
    assert shares[1] > 1.5 * shares[0]


@pytest.mark.parametrize("moves", [{"jitter": 2}, {"rotation": 20.0}, {"scale": 0.3}])
def test_equal_seeds_give_equal_bits_and_others_do_not(moves: dict[str, float]) -> None:
    ascent = replace(PLAIN, steps=20, **moves)
    first, again, other = (
        climb(ImageParameters(SHAPE, PIXELS), replace(ascent, seed=seed)).images for seed in (1, 1, 2)
    )
    assert first.tobytes() == again.tobytes()
    assert np.abs(first - other).max() > 0.01


def test_a_unit_s_image_does_not_depend_on_which_others_there_are() -> None:
    together = climb(ImageParameters(SHAPE, PIXELS), PLAIN)
    alone = climb(ImageParameters(SHAPE, PIXELS), PLAIN, units=[2])
    np.testing.assert_allclose(alone.images[0], together.images[2], atol=1e-3)


def test_diversity_makes_a_unit_s_images_unlike() -> None:
    def likeness(weight: float) -> float:
        found = climb(ImageParameters(SHAPE, PIXELS, mask=MIDDLE), replace(PLAIN, diversity=weight), copies=3)
        pairs = itertools.combinations(range(3), 2)
        return float(np.mean([cosine(*(found.images[:, list(pair)] - 0.6).swapaxes(0, 1)) for pair in pairs]))

    assert likeness(0) > 0.95
    assert likeness(20) < 0.7


def test_snapshots_end_with_the_result() -> None:
    found = climb(ImageParameters(SHAPE, PIXELS), replace(PLAIN, steps=10), snapshots=4)
    assert found.snapshots.shape[0] == 4
    assert (found.snapshots[-1] == found.images).all()
    assert found.snapshot_steps == [2, 5, 8, 10]
    layer = Activations(convolution(), ["layer"])
    for images, given in zip(found.snapshots, found.snapshot_activations, strict=True):
        values = layer(tf.constant(images[:, 0]))[0].numpy()[range(4), 2, 2, range(4)]
        np.testing.assert_allclose(given[:, 0], values, rtol=1e-4, atol=1e-5)
    assert (found.snapshot_activations[-1] > found.snapshot_activations[0]).all()
    whole = climb(ImageParameters(SHAPE, PIXELS), replace(PLAIN, steps=10))
    np.testing.assert_allclose(found.images, whole.images, atol=1e-5)


def test_a_signal_is_maximised_as_an_image() -> None:
    model = keras.Sequential([keras.Input((12, 3)), layers.Conv1D(2, 5, name="layer")])
    layer = Activations(model, ["layer"])
    pixels = PixelRange(-1, 1, np.zeros(3, np.float32), 2.0)
    seen = mask((slice(4, 9),), (12,))  # unit 4 of 8
    found = maximise(lambda x: layer(x)[0], ImageParameters((12, 3), pixels, "norm", mask=seen), [0, 1], PLAIN)
    for unit in (0, 1):
        assert cosine(found.images[unit, 0, 4:9], model.layers[0].kernel.numpy()[..., unit]) > 0.99


def test_a_signal_is_blurred_along_its_positions() -> None:
    model = keras.Sequential([keras.Input((12, 3)), layers.Conv1D(2, 5, name="layer")])
    layer, parameters = Activations(model, ["layer"]), ImageParameters((12, 3), PixelRange(-1, 1, np.zeros(3), 2.0))
    plain, smooth = (
        maximise(lambda x: layer(x)[0], parameters, [0, 1], replace(PLAIN, blur=blur)).images for blur in (0.0, 1.0)
    )
    assert variation(smooth) < 0.75 * variation(plain)


def test_jitter_rolls_and_blur_is_a_gaussian_s() -> None:
    x = np.random.default_rng(0).normal(size=(2, 7, 8, 3)).astype(np.float32)
    rolls = [np.roll(x, shift, (1, 2)) for shift in itertools.product((-1, 0, 1), repeat=2)]
    drawn = [jittered(tf.constant(x), 1, tf.constant([0, step])).numpy() for step in range(40)]
    which = {next(i for i, roll in enumerate(rolls) if (roll == one).all()) for one in drawn}
    assert len(which) >= 8  # of 9 shifts in 40 draws
    wanted = ndimage.gaussian_filter(x, 0.7, mode="nearest", radius=3, axes=(1, 2))
    np.testing.assert_allclose(blurred(tf.constant(x), 0.7), wanted, atol=1e-5)


def test_turning_is_scipy_s_affine_map(monkeypatch: pytest.MonkeyPatch) -> None:
    """By 30 degrees and a factor 1.2, about the middle; away from the borders, which are filled otherwise."""
    monkeypatch.setattr(tf.random, "stateless_uniform", lambda *_: tf.constant([[1.0, 1.0]]))
    y, x = np.mgrid[:21, :21]
    image = np.exp(-((y - 8) ** 2 + (x - 12) ** 2) / 30).astype(np.float32)
    found = turned(tf.constant(image[None, ..., None]), 30.0, 0.2, tf.constant([0, 0]))[0, ..., 0].numpy()
    c, s = 1.2 * np.cos(np.pi / 6), 1.2 * np.sin(np.pi / 6)
    matrix = np.array([[c, s], [-s, c]])  # (row, column) of the output -> of the input
    wanted = ndimage.affine_transform(image, matrix, np.array([10, 10]) - matrix @ [10, 10], order=1, mode="nearest")
    np.testing.assert_allclose(found[5:16, 5:16], wanted[5:16, 5:16], atol=1e-4)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: ImageParameters(SHAPE, PIXELS, "box"), "must be one of range, norm, none. Got 'box'"),
        (lambda: ImageParameters((5, 2), PIXELS, fourier=True), "is for images"),
        (lambda: climb(ImageParameters(SHAPE, PIXELS), PLAIN, objective="mean"), "must be one of unit, channel"),
        (lambda: climb(ImageParameters(SHAPE, PIXELS, fourier=True), replace(PLAIN, blur=1)), "Leave one of them out"),
        (lambda: climb(ImageParameters((12, 3), PIXELS), replace(PLAIN, rotation=5.0)), "Rotation and scale are for"),
        (lambda: climb(ImageParameters(SHAPE, PIXELS), replace(PLAIN, steps=3), snapshots=4), "as steps, 3. Got 4"),
    ],
)
def test_what_does_not_go_together_is_said(make: object, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        make()  # type: ignore[operator]
