"""MinMaxScaling, ZCAWhitening, PCAWhitening: scikit-learn's figures, from batches, inverted, saved, exported."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from sklearn.decomposition import PCA
from sklearn.preprocessing import MinMaxScaler

from dltool.data.splits import split
from dltool.library.datasets.cifar10 import Cifar10
from dltool.library.layers._adapted import Moments
from dltool.library.layers.min_max_scaling import MinMaxScaling
from dltool.library.layers.pca_whitening import PCAWhitening
from dltool.library.layers.zca_whitening import ZCAWhitening
from dltool.runs.opened import OpenedRun
from tests.command_line import trained, write_quick

WHITENING = [ZCAWhitening, PCAWhitening]


def correlated(examples: int = 400, size: int = 6, offset: float = 5.0) -> np.ndarray:
    """Return examples whose axes have deviations from 0.2 to 3 or so, turned."""
    rng = np.random.default_rng(0)
    return rng.normal(size=(examples, size)) @ rng.normal(size=(size, size)) + offset


def batches(x: np.ndarray, size: int = 64) -> tf.data.Dataset:
    return tf.data.Dataset.from_tensor_slices(x).batch(size)


def covariance(y: Any) -> np.ndarray:
    return np.cov(np.asarray(y, np.float64).reshape(len(y), -1), rowvar=False)


# -- minimum and maximum -------------------------------------------------------------------------------


@pytest.mark.parametrize("feature_range", [(0, 1), (-1, 3)])
def test_min_max_is_scikit_learns_from_batches(feature_range: tuple[int, int]) -> None:
    x = correlated()
    x[:, 2] = 7.0  # a constant feature
    layer = MinMaxScaling(feature_range=feature_range, dtype="float64")
    layer.adapt(batches(x))
    reference = MinMaxScaler(feature_range).fit(x)
    new = correlated(50, offset=4.0)
    np.testing.assert_allclose(layer(new), reference.transform(new), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(layer.invert(layer(new)), new, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("axis", [-1, None, (1, 3)])
def test_min_max_of_images_is_by_channel_by_all_or_by_several_axes(axis: Any) -> None:
    x = np.random.default_rng(0).uniform(0, 255, (20, 4, 5, 3)).astype(np.float32)
    layer = MinMaxScaling(axis=axis)
    layer.adapt(x)
    reduced = {-1: (0, 1, 2), None: (0, 1, 2, 3), (1, 3): (0, 2)}[axis]
    low, high = x.min(axis=reduced, keepdims=True), x.max(axis=reduced, keepdims=True)
    np.testing.assert_allclose(layer(x), (x - low) / (high - low), atol=1e-6)


# -- whitening -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", WHITENING)
def test_whitened_data_have_the_identity_as_covariance(kind: Any) -> None:
    x = correlated()
    layer = kind(dtype="float64")
    layer.adapt(batches(x))
    np.testing.assert_allclose(covariance(layer(x)), np.eye(6), atol=1e-10)
    single = kind()
    single.adapt(batches(x.astype(np.float32)))
    np.testing.assert_allclose(covariance(single(x.astype(np.float32))), np.eye(6), atol=1e-6)


def test_pca_whitening_is_scikit_learns_up_to_signs_and_zca_its_rotation_back() -> None:
    x, new = correlated(), correlated(30, offset=4.0)
    reference = PCA(whiten=True, svd_solver="full").fit(x)
    pca, zca, three = PCAWhitening(dtype="float64"), ZCAWhitening(dtype="float64"), PCAWhitening(3, dtype="float64")
    for layer in (pca, zca, three):
        layer.adapt(batches(x))
    expected = reference.transform(new)
    signs = np.sign((np.asarray(pca(new)) * expected).sum(axis=0))
    np.testing.assert_allclose(pca(new), expected * signs, rtol=1e-9, atol=1e-10)
    np.testing.assert_allclose(zca(new), expected @ reference.components_, rtol=1e-9, atol=1e-10)
    np.testing.assert_allclose(three(new), np.asarray(pca(new))[:, :3], rtol=1e-9)
    np.testing.assert_allclose(zca.kernel, np.transpose(zca.kernel), atol=1e-12)


def test_whitened_and_inverted_is_the_input_and_few_components_its_best_approximation() -> None:
    x = correlated().reshape(400, 2, 3)
    for layer in (ZCAWhitening(dtype="float64"), PCAWhitening(dtype="float64"), ZCAWhitening(0.3, dtype="float64")):
        layer.adapt(x)
        np.testing.assert_allclose(layer.invert(layer(x)), x, rtol=1e-9)
    few = PCAWhitening(2, dtype="float64")
    few.adapt(x)
    rows = x.reshape(400, 6)
    reference = PCA(2).fit(rows)
    expected = reference.inverse_transform(reference.transform(rows))
    np.testing.assert_allclose(few.invert(few(x)), expected.reshape(x.shape), rtol=1e-8)


def test_epsilon_is_added_to_the_variances() -> None:
    x = correlated()
    layer = PCAWhitening(epsilon=0.5, dtype="float64")
    layer.adapt(x)
    variances = np.linalg.eigvalsh(covariance(x))[::-1]
    np.testing.assert_allclose(covariance(layer(x)), np.diag(variances / (variances + 0.5)), atol=1e-10)


@pytest.mark.parametrize("kind", WHITENING)
def test_directions_without_variance_are_left_out(kind: Any) -> None:
    """A constant pixel, and a pixel that is the sum of two others: a covariance of rank 4 of 6."""
    x = correlated()
    x[:, 1], x[:, 4] = 3.0, x[:, 0] + x[:, 2]
    layer = kind(dtype="float64")
    layer.adapt(x)
    values = np.linalg.eigvalsh(covariance(layer(x)))
    np.testing.assert_allclose(values, [0, 0, 1, 1, 1, 1], atol=1e-9)
    new = x + np.eye(6)[1]  # the constant pixel takes another value: nothing is known of its scale
    np.testing.assert_allclose(layer(new), layer(x), atol=1e-9)


def test_a_large_mean_costs_no_digits_however_the_rows_are_batched() -> None:
    """Sums of squares about 0 would leave no digit of a variance of 1 behind a mean of 1e8."""
    x = np.random.default_rng(0).normal(size=(300, 3)) + 1e8
    for size in (1, 7, 300):
        moments = Moments(3)
        for start in range(0, 300, size):
            moments.add(x[start : start + size])
        np.testing.assert_allclose(moments.covariance, np.cov(x, rowvar=False), rtol=1e-6, atol=1e-7)


# -- in models -----------------------------------------------------------------------------------------


def test_a_model_that_holds_them_is_saved_and_exported_with_what_they_learned(tmp_path: Path) -> None:
    x = correlated().astype(np.float32)
    layers = [MinMaxScaling(), ZCAWhitening(1e-3), PCAWhitening(4)]
    seen: Any = x
    for layer in layers:
        layer.adapt(seen)
        seen = layer(seen)
    model = keras.Sequential([keras.Input((6,)), *layers])
    model.save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras")
    np.testing.assert_array_equal(loaded(x), model(x))
    assert [layer.get_config() for layer in loaded.layers] == [layer.get_config() for layer in layers]
    np.testing.assert_array_equal(loaded.layers[1].invert(x), layers[1].invert(x))
    model.export(str(tmp_path / "saved"), verbose=False)
    exported = tf.saved_model.load(str(tmp_path / "saved"))  # held, for its variables
    np.testing.assert_allclose(exported.serve(x), model(x), atol=1e-5)
    np.testing.assert_allclose(covariance(model(x)), np.eye(4), atol=1e-4)


RECIPE = """\
# Whitened digits in bfloat16.
data: {dataset: Digits}
model: [{MinMaxScaling: {axis: null}}, {ZCAWhitening: {epsilon: 0.01}}, Flatten, {Dense: "${data.num_classes}"}]
compile: {optimizer: sgd, loss: {SparseCategoricalCrossentropy: {from_logits: true}}}
fit: {epochs: 1, batch_size: 256}
dtype_policy: mixed_bfloat16
"""


def test_a_recipe_adapts_each_to_what_the_layers_before_it_give(tmp_path: Path) -> None:
    trained(write_quick(tmp_path, text=RECIPE), "--out", tmp_path / "run")
    run = OpenedRun(tmp_path / "run")
    dataset = run.dataset
    x = dataset.read("train").x[split(dataset)["train"].indices()].astype(np.float64) / 16
    scaling, whitening = run.model.layers[:2]
    assert (float(np.ravel(scaling.minimum)[0]), float(np.ravel(scaling.maximum)[0])) == (0, 16)
    rows = x.reshape(len(x), -1)
    np.testing.assert_allclose(whitening.mean, rows.mean(axis=0), atol=1e-6)
    variances, axes = np.linalg.eigh(covariance(x))
    whitened = (rows - rows.mean(axis=0)) @ (axes / np.sqrt(variances + 0.01)) @ axes.T
    behind = np.asarray(whitening(x.astype(np.float32)), np.float64).reshape(len(x), -1)
    np.testing.assert_allclose(behind, whitened, atol=0.03)  # bfloat16 outputs of up to 4


@pytest.mark.data
def test_whitened_patches_of_cifar_have_the_identity_as_covariance() -> None:
    images = Cifar10().read("train").x[:10_000].astype(np.float32) / 255
    rng = np.random.default_rng(0)
    corners = rng.integers(0, 27, (len(images), 2))
    patches = np.stack([image[r : r + 6, c : c + 6] for image, (r, c) in zip(images, corners, strict=True)])
    layer = ZCAWhitening()
    layer.adapt(batches(patches, 512))
    np.testing.assert_allclose(covariance(layer(patches)), np.eye(108), atol=1e-3)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: MinMaxScaling(axis=0), "The 'axis' parameter of MinMaxScaling must be axes behind the batch's. Got 0"),
        (
            lambda: MinMaxScaling(feature_range=(1, 0)),
            r"'feature_range' parameter of MinMaxScaling must be \[low, high",
        ),
        (lambda: ZCAWhitening(-1), "The 'epsilon' parameter of ZCAWhitening must be a finite number >= 0.0. Got -1"),
        (lambda: PCAWhitening(0), "The 'components' parameter of PCAWhitening must be an int > 0. Got 0 instead."),
        (lambda: PCAWhitening(7).adapt(correlated()), "can't keep 7 components of examples of 6 numbers"),
        (lambda: ZCAWhitening().adapt(np.zeros((0, 3))), "ZCAWhitening was adapted to no data"),
        (lambda: ZCAWhitening().adapt(np.zeros((1, 3))), "was adapted to one example, which has no covariance"),
        (lambda: ZCAWhitening()(keras.Input((None, 3))), "needs examples of a fixed shape"),
    ],
)
def test_what_cannot_be_is_refused(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
