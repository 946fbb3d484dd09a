"""Repeat: a stack of the same layers, each with weights of its own, and its override in a recipe."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import pytest
from keras import layers

from dltool.library.layers._wiring import copied
from dltool.library.layers.branches import Branches
from dltool.library.layers.repeat import Repeat
from dltool.library.layers.residual import Residual
from dltool.recipe import build, reading
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


def test_times_can_be_overridden(tmp_path: Path) -> None:
    loaded = reading.load(write_quick(tmp_path, text=RECIPE), ["model.1.Repeat.times=8"])
    model = build.model(loaded, FACTS, None)
    assert model.count_params() == 16 * 5 + 5 + 7 * (5 * 5 + 5) + 5 * 3 + 3


@pytest.mark.parametrize("times", [0, -1, 2.0, True, "2"])
def test_times_is_an_int_above_0(times: object) -> None:
    with pytest.raises(ValueError, match="'times' must be an int >= 1. Got"):
        Repeat([layers.Dense(2)], times)  # type: ignore[arg-type]


def test_what_is_no_layer_is_said() -> None:
    with pytest.raises(ValueError, match="'layers' parameter of Repeat must be a list of layers. Got 'relu'"):
        Repeat(["relu"], 2)
