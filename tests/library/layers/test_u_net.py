"""UNet: which maps are joined, at what sizes, and what does not fit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

from dltool.library.layers._wiring import copied
from dltool.library.layers.residual import Residual
from dltool.library.layers.u_net import UNet


def net(unet: Any, shape: tuple[int, ...] = (8, 12, 2)) -> Any:
    x = keras.Input(shape)
    return keras.Model(x, unet(x))


def test_each_step_joins_the_last_map_of_its_size_also_inside_a_nested_model() -> None:
    parts = [layers.Conv2D(3, 1, activation="relu", name="whole"),
             keras.Sequential([keras.Input((8, 12, 3)), layers.Conv2D(5, 2, strides=2, name="narrow"),
                               layers.ReLU(name="half"),
                               layers.AveragePooling2D(2)], name="inner")]  # fmt: skip
    model = net(UNet(parts, [4, 6]))
    assert model.output_shape == (None, 8, 12, 6)
    joined = [layer for layer in model.layers if isinstance(layer, layers.Concatenate)]
    assert [layer.output.shape[1:] for layer in joined] == [(4, 6, 5 + 5), (8, 12, 4 + 3)]
    x = np.random.default_rng(0).normal(size=(2, 8, 12, 2)).astype(np.float32)
    inner = model.get_layer("inner")
    whole = model.get_layer("whole")(x)
    half = inner.get_layer("half")(inner.get_layer("narrow")(whole))
    deep = np.asarray(layers.AveragePooling2D(2)(half)).repeat(2, axis=1).repeat(2, axis=2)
    inside = keras.Model(model.input, [one.input for one in joined])
    first, second = inside(x)
    np.testing.assert_allclose(first[0], deep, atol=1e-5)
    np.testing.assert_allclose(first[1], half, atol=1e-5)
    np.testing.assert_allclose(second[1], whole, atol=1e-5)


def test_fewer_steps_give_a_smaller_map_and_a_size_without_a_map_is_filtered_alone() -> None:
    shrink = [layers.Conv2D(5, 4, strides=4)]  # nothing at half the size
    model = net(UNet(shrink, [4]))
    assert model.output_shape == (None, 4, 6, 4)
    assert not [layer for layer in model.layers if isinstance(layer, layers.Concatenate)]


def test_wirings_inside_an_encoder_and_saved_models_work(tmp_path: Path) -> None:
    unet = UNet([Residual([layers.Conv2D(2, 3, padding="same")]), layers.MaxPooling2D(2)], [4])
    model = net(*copied([unet]))
    model.save(tmp_path / "model.keras")
    x = np.random.default_rng(0).normal(size=(2, 8, 12, 2)).astype(np.float32)
    np.testing.assert_allclose(keras.models.load_model(tmp_path / "model.keras")(x), model(x), atol=1e-6)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: UNet([layers.ReLU()], []), "'filters' parameter of UNet must be a list of ints > 0"),
        (lambda: UNet([layers.ReLU()], [8, 0]), "'filters' parameter of UNet"),
        (lambda: UNet(["relu"], [8]), "'encoder' parameter of UNet must be a list of layers"),
        (lambda: net(UNet([layers.MaxPooling2D(2)], [4, 4])), r"UNet has 2 steps up, and its encoder makes \(4, 6\)"),
        (lambda: net(UNet([layers.MaxPooling2D(3)], [4])), r"makes \(2, 4\) of \(8, 12\)"),
        (lambda: net(UNet([layers.Flatten()], [4])), "has to halve the image as often"),
        (lambda: net(UNet([layers.ReLU()], [4]), (None, 4, 1)), "takes images of known size"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
