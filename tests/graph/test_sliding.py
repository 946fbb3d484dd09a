"""A classifier that slides gives at each position what it gives for that crop."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

from dltool.graph.sliding import slide

RNG = np.random.default_rng(0)
PICTURE = RNG.normal(size=(23, 30, 2)).astype(np.float32)


def flattening() -> Any:
    return keras.Sequential([
        keras.Input((12, 10, 2)), layers.Conv2D(4, 3, activation="relu"), layers.BatchNormalization(),
        layers.MaxPooling2D(2), layers.SeparableConv2D(5, 2), layers.Dropout(0.5), layers.Flatten(), layers.ReLU(),
        layers.Dense(6, activation="tanh"), layers.BatchNormalization(), layers.Dense(3, activation="softmax"),
    ])  # fmt: skip


def pooling(pool: Any) -> Any:
    x = keras.Input((12, 10, 2))
    y = layers.Conv2D(4, 3, strides=2)(x)
    z = layers.Add()([y, layers.Conv2D(4, 1)(y)])
    return keras.Model(x, layers.Dense(3, use_bias=False)(pool()(z)))


def nested() -> Any:
    images = keras.Input((12, 10, 2))
    inner = keras.Sequential([images, layers.Conv2D(4, 3, strides=(3, 2)), layers.AveragePooling2D(2)])
    return keras.Sequential([keras.Input((12, 10, 2)), inner, layers.Flatten(), layers.Dense(3)])


CASES = {  # model -> stride
    "flatten": (flattening, (2, 2)),
    "average": (lambda: pooling(layers.GlobalAveragePooling2D), (2, 2)),
    "maximum": (lambda: pooling(layers.GlobalMaxPooling2D), (2, 2)),
    "nested": (nested, (6, 4)),
}


@pytest.mark.parametrize("case", CASES)
def test_each_position_equals_the_answer_to_its_crop(case: str) -> None:
    make, stride = CASES[case]
    keras.utils.set_random_seed(1)
    model = make()
    for layer in model.layers:
        if isinstance(layer, layers.BatchNormalization):
            layer.set_weights([RNG.uniform(0.5, 1.5, one.shape) for one in layer.get_weights()])
    sliding = slide(model)
    assert (sliding.window, sliding.stride, sliding.padded) == ((12, 10), stride, ())
    found = np.asarray(sliding.model(PICTURE[None]))[0]
    down, across = found.shape[:2]
    assert down >= (23 - 12) // stride[0] + 1 and across >= (30 - 10) // stride[1] + 1
    crops, places = [], []
    for row in range(down):
        for column in range(across):
            top, left = row * stride[0], column * stride[1]
            if top + 12 <= 23 and left + 10 <= 30:
                crops.append(PICTURE[top : top + 12, left : left + 10])
                places.append(found[row, column])
    assert len(crops) >= 2 * 6
    np.testing.assert_allclose(places, model.predict(np.stack(crops), verbose=0), atol=2e-5)


def test_weights_are_shared() -> None:
    model = pooling(layers.GlobalAveragePooling2D)
    sliding = slide(model)
    model.layers[-1].kernel.assign(np.zeros((4, 3)))
    assert not np.any(sliding.model(PICTURE[None]))


def test_padding_is_reported_and_the_middle_of_a_large_window_is_right() -> None:
    model = keras.Sequential([
        keras.Input((9, 9, 2)), layers.Conv2D(3, 3, padding="same", name="sees_zeros"),
        layers.Conv2D(2, 1, padding="same"),
        layers.ZeroPadding2D(1, name="border"), layers.Flatten(), layers.Dense(2),
    ])  # fmt: skip
    assert slide(model).padded == ("sees_zeros", "border")
    alone = np.asarray(slide(model).model(PICTURE[None, :9, :9]))
    np.testing.assert_allclose(alone[0, 0, 0], model(PICTURE[None, :9, :9])[0], atol=1e-5)  # nothing around it


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (layers.Reshape((60, 4)), r"\(Reshape\) does not slide over images"),
        (layers.PReLU(), r"\(PReLU\) has weights of its own for each position"),
        (layers.Resizing(4, 4), r"\(Resizing\) does not slide"),
    ],
)
def test_a_layer_that_sees_the_whole_image_is_named(layer: Any, message: str) -> None:
    model = keras.Sequential([keras.Input((12, 10, 2)), layers.Conv2D(2, 1), layer])
    with pytest.raises(ValueError, match=message):
        slide(model)


def test_models_without_an_image_or_one_row_of_outputs_are_refused() -> None:
    with pytest.raises(ValueError, match="images of a known size"):
        slide(keras.Sequential([keras.Input((7,)), layers.Dense(2)]))
    dense = keras.Sequential([keras.Input((6, 6, 1)), layers.Flatten(), layers.LayerNormalization(), layers.Dense(2)])
    with pytest.raises(ValueError, match="reads a flattened map"):
        slide(dense)
