"""Inversion and dream: closed forms, equal seeds, and an unrolled graph that gives the model's values."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from dltool.filters.dreaming import dream
from dltool.filters.inverting import inversion, total_variation
from dltool.graph.calls import Unrolled, calls, with_activation


def net(side: int = 12, channels: int = 1) -> keras.Model:
    keras.utils.set_random_seed(0)
    stem = keras.Sequential(
        [
            layers.Rescaling(1 / 127.5, offset=-1),
            layers.Conv2D(6, 3, padding="same", activation="tanh"),
            layers.MaxPooling2D(2),
        ],
        name="stem",
    )
    x = keras.Input((side, side, channels))
    y = layers.Conv2D(8, 3, activation="relu", name="second")(stem(x))
    return keras.Model(x, layers.Dense(3, name="head")(layers.Flatten()(y)))


def images(side: int = 12, channels: int = 1) -> np.ndarray:
    return np.random.default_rng(0).uniform(0, 255, (2, side, side, channels)).astype(np.float32)


def test_the_unrolled_graph_gives_the_model_s_values_in_the_order_of_calls() -> None:
    shared = layers.Dense(4, activation="relu")
    inner_x = keras.Input((4, 4, 4))
    inner = keras.Model(inner_x, layers.Add()([shared(inner_x), layers.BatchNormalization()(inner_x)]), name="inner")
    x = y = keras.Input((4, 4, 3))
    y = shared(inner(layers.Conv2D(4, 1)(y)))
    y = keras.ops.concatenate([y, inner(y)], axis=-1)
    model = keras.Model(x, layers.Dropout(0.5)(layers.Flatten()(y)))
    for weight in model.weights:  # moving averages too, so that training would give something else
        weight.assign(tf.random.stateless_uniform(weight.shape, (len(weight.path), 1)))
    batch = np.random.default_rng(0).normal(size=(2, 4, 4, 3)).astype(np.float32)
    graph = Unrolled(model)
    assert [step.path for step in graph.steps] == [call.path for call in calls(model)]
    np.testing.assert_allclose(graph.run(batch, [graph.output])[0], model(batch, training=False), rtol=1e-5)
    place = graph.steps[graph.number("conv2d")].gives[0]
    assert graph.needed([place]) == {graph.number("conv2d")}


def test_a_twin_shares_weights_and_leaves_the_layer() -> None:
    layer = layers.Dense(3, activation="relu")
    x = tf.constant([[1.0, -2.0]])
    rectified = layer(x).numpy()
    twin = with_activation(layer, lambda y: y)
    layer.kernel.assign(-layer.kernel)
    np.testing.assert_allclose(np.maximum(-twin(x), 0), rectified, rtol=1e-6)
    np.testing.assert_allclose(layer(x), np.maximum(twin(x), 0), rtol=1e-6)


def test_an_unknown_layer_or_graph_is_said() -> None:
    with pytest.raises(ValueError, match="no layer 'third'. The model has stem/rescaling"):
        inversion(net(), images(), "third")
    with pytest.raises(ValueError, match="graph of a Sequential is not known"):
        Unrolled(keras.Sequential([layers.Dense(2)]))


@pytest.mark.parametrize("shape", [(6, 6, 1), (6, 5, 3), (6, 6)])
def test_inversion_of_what_lost_nothing_is_the_image(shape: tuple[int, ...]) -> None:
    size = int(np.prod(shape))
    matrix = np.linalg.qr(np.random.default_rng(0).normal(size=(size, size)))[0]  # a rotation keeps all
    dense = layers.Dense(size, use_bias=False, name="rotation")
    model = keras.Sequential([keras.Input(shape), layers.Rescaling(1 / 255), layers.Flatten(), dense])
    dense.set_weights([matrix])
    x = np.random.default_rng(1).uniform(0, 255, (3, *shape))
    found = inversion(model, x, "rotation", steps=300, variation_weight=0, norm_weight=0)
    assert np.abs(found.images - x).max() < 2.5  # of 255
    assert (found.errors < 0.01).all() and (found.starting_errors > 0.3).all()


def test_inversion_makes_up_smoothly_what_the_layer_did_not_see() -> None:
    """The layer sees one pixel in the middle; total variation alone fills the rest."""
    crop = layers.Cropping2D(3, name="middle")
    model = keras.Sequential([keras.Input((7, 7, 1)), crop, layers.Flatten(), layers.Dense(2)])
    x = np.zeros((1, 7, 7, 1))
    x[0, 3, 3] = 1.0
    found = inversion(model, x, "middle", steps=400, variation_weight=0.1, norm_weight=0)
    assert found.images[0, 3, 3, 0] > 0.95
    assert found.images[0, 2:5, 2:5].mean() > 0.75 and x[0, 2:5, 2:5].mean() < 0.12


def test_inversion_of_a_net_comes_near_its_features_and_equal_seeds_are_identical() -> None:
    model, x = net(), images()
    first, again, other = (inversion(model, x, "second", steps=60, seed=seed) for seed in (1, 1, 2))
    assert first.images.tobytes() == again.images.tobytes() != other.images.tobytes()
    assert (first.errors < 0.5 * first.starting_errors).all()
    assert first.images.min() >= x.min() and first.images.max() <= x.max() + 1e-3
    part = keras.Model(model.inputs[0], model.get_layer("second").output)
    wanted, given = (part(batch).numpy().reshape(2, -1) for batch in (x, first.images))
    errors = np.linalg.norm(given - wanted, axis=1) / np.linalg.norm(wanted, axis=1)
    np.testing.assert_allclose(first.errors, errors, rtol=1e-3)


def test_total_variation_by_hand() -> None:
    z = np.array([[0.0, 3, 3], [4, 4, 4], [7, 7, 7]], np.float32).reshape(1, 3, 3, 1)
    # (down, right) of the four upper left pixels: (4, 3), (1, 0), (3, 0), (3, 0)
    np.testing.assert_allclose(total_variation(tf.constant(z), 2.0), [(25 + 1 + 9 + 9) / 4], rtol=1e-6)
    np.testing.assert_allclose(total_variation(tf.constant(z), 1.0), [(5 + 1 + 3 + 3) / 4], rtol=1e-4)
    signals = np.array([[[0.0, 9], [1, 9], [4, 9]]], np.float32)  # along positions 1, 3 and 0, 0; channels do not meet
    np.testing.assert_allclose(total_variation(tf.constant(signals), 2.0), [(1 + 9 + 0 + 0) / 4], rtol=1e-6)
    np.testing.assert_allclose(total_variation(tf.constant(signals[..., :1]), 2.0), [(1 + 9) / 2], rtol=1e-6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"images": np.zeros((2, 12, 12, 1))}, "lower first. Got 0.0 and 0.0"),
        ({"images": np.zeros((2, 9, 12, 1))}, r"images of shape \(12, 12, 1\). Got \(9, 12, 1\)"),
        ({"steps": 0}, "steps > 0"),
        ({"value_range": (255, 0)}, "lower first. Got 255 and 0"),
    ],
)
@pytest.mark.parametrize("what", [inversion, dream])
def test_what_does_not_fit_is_said(what: object, change: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        what(net(), **{"images": images(), "layer": "second", **change})  # type: ignore[operator]


def test_features_that_are_all_zero_cannot_be_inverted() -> None:
    model = net()
    model.get_layer("second").set_weights([np.zeros((3, 3, 6, 8)), np.zeros(8)])
    with pytest.raises(ValueError, match="layer 'second' gives only zeros"):
        inversion(model, images(), "second")


@pytest.mark.parametrize("layer", ["stem/conv2d", "second"])
def test_a_dream_raises_the_layer_s_activation_within_the_range_of_the_pixels(layer: str) -> None:
    keras.utils.clear_session(free_memory=False)
    model, x = net(channels=3), images(channels=3)
    first, again, other = (dream(model, x, layer, steps=8, octaves=2, seed=seed) for seed in (1, 1, 2))
    assert first.images.tobytes() == again.images.tobytes() != other.images.tobytes()
    assert first.images.shape == x.shape
    assert first.images.min() >= x.min() and first.images.max() <= x.max()
    assert (first.after > 1.05 * first.before).all()
    graph = Unrolled(model)
    place = graph.steps[graph.number(layer)].gives[0]
    given = graph.run(first.images, [place])[0].numpy()
    np.testing.assert_allclose(first.after, (given**2).mean((1, 2, 3)), rtol=1e-4)


def test_a_dream_of_one_unit_raises_that_unit_most() -> None:
    model, x = net(), images()
    part = keras.Model(model.inputs[0], model.get_layer("second").output)
    found = dream(model, x, "second", unit=3, octaves=1, jitter=0)
    before, after = ((part(batch).numpy() ** 2).mean((0, 1, 2)) for batch in (x, found.images))
    np.testing.assert_allclose(found.after.mean(), after[3], rtol=1e-4)
    assert (after - before).argmax() == 3 and after[3] > 2 * before[3]


def test_a_dream_of_a_layer_for_one_size_of_image_needs_one_octave() -> None:
    with pytest.raises(ValueError, match="layer 'head' cannot be reached from images of 6 x 6 pixels. Use one octave"):
        dream(net(), images(), "head", steps=2)
    found = dream(net(), images(), "head", steps=8, octaves=1)
    assert (found.after > found.before).all()


def test_a_dream_of_a_signal_is_refused() -> None:
    model = keras.Sequential([keras.Input((9, 2)), layers.Conv1D(3, 3, name="layer")])
    with pytest.raises(
        ValueError, match=r"dream is for images \(rows, columns, channels\). Got inputs of shape \(9, 2\)"
    ):
        dream(model, np.ones((1, 9, 2)), "layer")


def test_an_unknown_unit_is_said() -> None:
    with pytest.raises(ValueError, match="layer 'second' has units 0..7. Got 8"):
        dream(net(), images(), "second", unit=8)
