"""Repeat: a stack of the same layers, each with weights of its own, and its override in a recipe."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

from dltool import build, recipe
from dltool.layers.branches import Branches
from dltool.layers.repeat import Repeat
from dltool.layers.residual import Residual
from dltool.layers.wiring import copied
from tests.command_line import write_quick

RECIPE = """\
# A stack for tests.
data: {dataset: Digits, validation_split: 0.1}
model:
  - Flatten
  - Repeat: {layers: [{Dense: {units: 5, activation: tanh}}], times: 3}
  - Dense: ${data.num_classes}
compile:
  optimizer: adam
  loss: {SparseCategoricalCrossentropy: {from_logits: true}}
"""
FACTS = {"input_shape": (4, 4, 1), "num_classes": 3}


def of(wiring: Any, shape: tuple[int, ...]) -> keras.Model:
    x = keras.Input(shape)
    return keras.Model(x, wiring(x))


def test_layers_are_applied_one_after_another_with_weights_of_their_own() -> None:
    model = of(Repeat([layers.Dense(3, activation="tanh", bias_initializer="normal")], 3), (3,))
    kernels = [layer.kernel.numpy() for layer in model.layers[1:]]
    assert len({kernel.tobytes() for kernel in kernels}) == 3
    x = y = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    for layer in model.layers[1:]:
        y = np.tanh(y @ layer.kernel.numpy() + layer.bias.numpy())
    np.testing.assert_allclose(model(x), y, rtol=1e-4, atol=1e-5)


def test_wirings_stand_inside_and_outside() -> None:
    inner = Residual([Branches([[layers.Dense(2)], [layers.Dense(1)]])])
    model = of(Repeat([inner, Repeat([layers.Dense(3, use_bias=False)], 2)], 4), (3,))
    assert model.count_params() == 4 * (3 * 2 + 2 + 3 * 1 + 1 + 2 * 9)
    assert sum(isinstance(layer, layers.Add) for layer in model.layers) == 4
    model = of(Branches([[Repeat([layers.Dense(3)], 2)], []], merge="add"), (3,))
    assert model.count_params() == 2 * 12


def test_a_copy_repeats_as_often_with_fresh_layers() -> None:
    repeat = Repeat([layers.Dense(3)], 2)
    x = keras.Input((3,))
    (copy,) = copied([repeat])
    assert keras.Model(x, copy(repeat(x))).count_params() == 4 * 12


def test_the_graph_is_flat_and_ordinary(tmp_path: Path) -> None:
    loaded = recipe.load(write_quick(tmp_path, text=RECIPE))
    build.check(loaded)
    model = build.model(loaded, FACTS, None)
    assert [type(layer).__name__ for layer in model.layers] == ["InputLayer", "Flatten", *["Dense"] * 4]
    assert type(model) is type(keras.Model(model.inputs, model.outputs))


def test_times_can_be_overridden(tmp_path: Path) -> None:
    loaded = recipe.load(write_quick(tmp_path, text=RECIPE), ["model.1.Repeat.times=8"])
    model = build.model(loaded, FACTS, None)
    assert model.count_params() == 16 * 5 + 5 + 7 * (5 * 5 + 5) + 5 * 3 + 3


@pytest.mark.parametrize("times", [0, -1, 2.0, True, "2"])
def test_times_is_an_int_above_0(times: object) -> None:
    with pytest.raises(ValueError, match="'times' parameter of Repeat must be an int >= 1. Got"):
        Repeat([layers.Dense(2)], times)  # type: ignore[arg-type]


def test_what_is_no_layer_is_said() -> None:
    with pytest.raises(ValueError, match="'layers' parameter of Repeat must be a list of layers. Got 'relu'"):
        Repeat(["relu"], 2)
