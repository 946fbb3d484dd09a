"""Layer-sequential unit variance."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from dltool.init_stats import lsuv
from dltool.init_stats.lsuv import orthonormal

layers = keras.layers
rng = np.random.default_rng(0)


def mlp() -> tuple[keras.Model, np.ndarray]:
    hidden = [layers.Dense(64, activation="tanh", kernel_initializer="random_normal") for _ in range(6)]
    return keras.Sequential([keras.Input((20,)), *hidden, layers.Dense(5, activation="softmax")]), rng.normal(
        size=(512, 20)
    )


def cnn() -> tuple[keras.Model, np.ndarray]:
    body = [
        layers.Conv2D(8, 3, activation="relu"),
        layers.DepthwiseConv2D(3, depth_multiplier=2, activation=layers.LeakyReLU()),
        layers.SeparableConv2D(12, 3, activation="relu", padding="same"),
        layers.Conv2DTranspose(6, 3, strides=2, activation="relu"),
        layers.Conv2D(8, 3, groups=2, strides=2, use_bias=False),
        layers.Flatten(),
        layers.Dense(4),
    ]
    return keras.Sequential([keras.Input((10, 10, 3)), *body]), rng.normal(3, 5, size=(128, 10, 10, 3))


def residual() -> tuple[keras.Model, np.ndarray]:
    """A nested model used twice with the same weights, a skip connection and attention."""
    block = keras.Sequential([keras.Input((7, 16)), layers.Dense(16, "relu"), layers.Dense(16)], name="block")
    inputs = x = keras.Input((7, 16))
    for _ in range(2):
        x = layers.Add()([x, block(x)])
    x = layers.MultiHeadAttention(2, 8)(x, x)
    x = layers.EinsumDense("abc,cd->abd", output_shape=(7, 10), activation="relu")(x)
    return keras.Model(inputs, layers.Dense(3)(layers.Flatten()(x))), 0.1 * rng.normal(size=(256, 7, 16))


def pre_activation_variance(model: keras.Model, layer: keras.layers.Layer, x: np.ndarray) -> float:
    """As NumPy has it: a dense layer's kernel and bias on what the layer before gives."""
    before = keras.Model(model.inputs[0], layer.input)(x).numpy().astype(float)
    return float(np.var(before @ np.array(layer.kernel) + np.array(layer.bias)))


@pytest.mark.parametrize("make", [mlp, cnn, residual])
def test_every_output_has_unit_variance(make: object) -> None:
    keras.utils.set_random_seed(1)
    model, x = make()
    rows = lsuv.unit_variance(model, [x.astype("float32")], attempts=20)
    found = [layer for layer in model._flatten_layers(include_self=False) if isinstance(layer, lsuv.LINEAR)]
    assert {row["layer"] for row in rows} == {layer.path for layer in found}
    for row in rows:
        assert row["variance_after"] == pytest.approx(1, abs=0.01)
        assert 1 <= row["attempts"] <= (20 if make is residual else 2)
    again = lsuv.output_variances(model, [x.astype("float32")], found)
    assert list(again.values()) == pytest.approx([1] * len(found), abs=0.02)


def test_the_variance_is_numpys_before_the_activation() -> None:
    keras.utils.set_random_seed(2)
    model, x = mlp()
    dense = model.layers[2]
    dense.bias.assign(rng.normal(2.0, 0.3, size=64))
    found = lsuv.output_variances(model, [x[:100], x[100:]], [dense])[dense]
    assert found == pytest.approx(pre_activation_variance(model, dense, x), rel=1e-4)


def test_after_it_the_model_computes_as_before_but_for_its_kernels() -> None:
    keras.utils.set_random_seed(3)
    model, x = cnn()
    twin = keras.models.clone_model(model)
    lsuv.unit_variance(model, [x.astype("float32")])
    twin.set_weights(model.get_weights())
    assert np.array_equal(model.predict(x, verbose=0), twin.predict(x, verbose=0))
    assert all("call" not in vars(layer) for layer in model.layers)


def test_kernels_are_orthonormal_times_the_scale_and_others_are_untouched() -> None:
    keras.utils.set_random_seed(4)
    model, x = mlp()
    before = model.get_weights()
    (row,) = lsuv.unit_variance(model, [x.astype("float32")], [model.layers[1].name])
    kernel = np.array(model.layers[1].kernel, float)
    assert kernel.T @ kernel == pytest.approx(row["scale"] ** 2 * np.eye(64), abs=1e-5)
    changed = [not np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True)]
    assert changed == [index == 2 for index in range(len(before))]


def test_without_orthogonal_the_present_kernels_are_scaled() -> None:
    keras.utils.set_random_seed(4)
    model, x = mlp()
    before = np.array(model.layers[0].kernel)
    rows = lsuv.unit_variance(model, [x.astype("float32")], orthogonal=False)
    assert np.array(model.layers[0].kernel) == pytest.approx(before * rows[0]["scale"], rel=1e-5)
    assert rows[0]["scale"] == pytest.approx(rows[0]["variance_before"] ** -0.5, rel=1e-3)


@pytest.mark.parametrize(
    ("shape", "inputs", "outputs"),
    [
        ((3, 3, 4, 8), [0, 1, 2], [3]),
        ((3, 3, 4, 2), [0, 1], [3]),
        ((2, 2, 5, 3), [0, 1, 3], [2]),
        ((3, 4, 5), [0], [1, 2]),
    ],
)
def test_orthonormal_vectors_on_the_axes_asked_for(shape: tuple, inputs: list, outputs: list) -> None:
    kernel = orthonormal(shape, inputs, outputs, np.random.default_rng(0))
    assert kernel.shape == shape
    groups = [axis for axis in range(len(shape)) if axis not in (*inputs, *outputs)]
    fan_in = int(np.prod([shape[axis] for axis in inputs]))
    matrices = kernel.transpose([*groups, *inputs, *outputs]).reshape(-1, fan_in, kernel.size // fan_in // int(
        np.prod([shape[axis] for axis in groups])
    ))  # fmt: skip
    for matrix in matrices:
        small = matrix.T @ matrix if matrix.shape[0] >= matrix.shape[1] else matrix @ matrix.T
        assert small == pytest.approx(np.eye(len(small)), abs=1e-10)


def test_a_dead_layer_is_reported_and_not_divided_by_zero() -> None:
    model = keras.Sequential([keras.Input((4,)), layers.Dense(8, "relu", name="first"), layers.Dense(3, name="last")])
    rows = lsuv.unit_variance(model, [tf.zeros((16, 4))])
    assert [row["attempts"] for row in rows] == [0, 0]
    assert all("constant" in row["note"] for row in rows)
    assert all(np.isfinite(weight).all() for weight in model.get_weights())


def test_recurrent_layers_are_left_alone_and_said_so() -> None:
    recurrent = [layers.LSTM(8, return_sequences=True), layers.Bidirectional(layers.GRU(4))]
    model = keras.Sequential([keras.Input((5, 3)), *recurrent, layers.Dense(2)])
    kernels = [np.array(weight) for layer in recurrent for weight in layer.weights]
    rows = lsuv.unit_variance(model, [rng.normal(size=(64, 5, 3)).astype("float32")])
    assert [
        np.array_equal(kernel, w) for kernel, w in zip(kernels, [w for r in recurrent for w in r.weights], strict=True)
    ]
    assert sum(row["note"] == "left alone: recurrent" for row in rows) >= 3
    assert rows[0]["variance_after"] == pytest.approx(1, abs=0.01)


def test_a_pattern_that_matches_nothing_is_an_error() -> None:
    model, x = mlp()
    with pytest.raises(ValueError, match="no layer with a kernel matches 'conv"):
        lsuv.unit_variance(model, [x], ["dense*", "conv*"])
