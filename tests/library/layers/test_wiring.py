"""Residual and Branches: the papers' formulas, ordinary Keras files, errors at the recipe's place."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers

from dltool.errors import RecipeError
from dltool.library.layers._wiring import copied
from dltool.library.layers.branches import MERGES, Branches
from dltool.library.layers.residual import Residual
from dltool.recipe import build, reading
from tests.command_line import BARE_KERAS, write_quick

RECIPE = """\
# A residual net for tests.
data: {dataset: Digits, validation_split: 0.1}
model:
  - Conv2D: {filters: 4, kernel_size: 3, padding: same}
  - Residual:
      layers:
        - Conv2D: {filters: 8, kernel_size: 3, strides: 2, padding: same, activation: relu}
        - Conv2D: {filters: 8, kernel_size: 3, padding: same}
      option: B
      activation: relu
  - Branches:
      branches:
        - [{Conv2D: {filters: 2, kernel_size: 1}}]
        - [{Conv2D: {filters: 3, kernel_size: 3, padding: same}}, ReLU]
        - []
  - GlobalAveragePooling2D
  - Dense: ${data.num_classes}
compile:
  optimizer: adam
  loss: {SparseCategoricalCrossentropy: {from_logits: true}}
"""


def of(wiring: object, shape: tuple[int, ...]) -> keras.Model:
    x = keras.Input(shape)
    return keras.Model(x, wiring(x))  # type: ignore[operator]


def test_residual_adds_the_input_before_the_activation() -> None:
    dense = layers.Dense(3, use_bias=False)
    model = of(Residual([dense], activation="relu"), (3,))
    x = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    expected = np.maximum(x @ dense.kernel.numpy() + x, 0)
    np.testing.assert_allclose(model(x), expected, rtol=1e-5, atol=1e-6)


def test_option_a_takes_every_second_pixel_and_pads_channels_with_zeros() -> None:
    silent = layers.Conv2D(6, 3, strides=2, padding="same", kernel_initializer="zeros")
    model = of(Residual([silent], option="A"), (8, 8, 4))
    x = np.random.default_rng(0).normal(size=(2, 8, 8, 4)).astype(np.float32)
    expected = np.zeros((2, 4, 4, 6), np.float32)
    expected[..., 1:5] = x[:, ::2, ::2]
    np.testing.assert_array_equal(model(x), expected)
    assert model.count_params() == 9 * 4 * 6 + 6  # the shortcut has none


def test_option_b_is_a_strided_1x1_convolution_with_batch_normalisation() -> None:
    model = of(Residual([layers.Conv2D(6, 3, strides=2, padding="same", use_bias=False)], option="B"), (8, 8, 4))
    assert model.count_params() == 9 * 4 * 6 + 4 * 6 + 4 * 6  # F, projection, gamma beta mean variance
    (projection,) = [
        layer for layer in model.layers if isinstance(layer, layers.Conv2D) and layer.kernel_size == (1, 1)
    ]
    assert projection.strides == (2, 2)


def test_option_b_normalises_as_the_block_does() -> None:
    """Keras's own epsilon, 1e-3, is a hundred times the residual nets' recipes', and its momentum another."""
    block = [layers.Conv2D(6, 3, strides=2, padding="same"), layers.BatchNormalization(momentum=0.9, epsilon=1e-5)]
    model = of(Residual(block, option="B"), (8, 8, 4))
    found = [(n.momentum, n.epsilon) for n in model.layers if isinstance(n, layers.BatchNormalization)]
    assert found == [(0.9, 1e-5)] * 2
    plain = of(Residual([layers.Conv2D(6, 3, strides=2, padding="same")], option="B"), (8, 8, 4))
    assert [n.epsilon for n in plain.layers if isinstance(n, layers.BatchNormalization)] == [1e-3]


def test_an_option_leaves_equal_shapes_alone() -> None:
    model = of(Residual([layers.Conv2D(4, 3, padding="same", use_bias=False)], option="B"), (8, 8, 4))
    assert model.count_params() == 9 * 4 * 4


@pytest.mark.parametrize("merge", MERGES)
def test_branches_merge_as_numpy_does(merge: str) -> None:
    model = of(Branches([[layers.Rescaling(2.0)], [layers.Rescaling(-1.0)], []], merge=merge), (4, 3))
    x = np.random.default_rng(1).normal(size=(2, 4, 3)).astype(np.float32)
    paths = np.stack([2 * x, -x, x])
    expected = {
        "concatenate": np.concatenate(list(paths), axis=-1),
        "add": paths.sum(0),
        "average": paths.mean(0),
        "multiply": paths.prod(0),
        "maximum": paths.max(0),
    }[merge]
    np.testing.assert_allclose(model(x), expected, rtol=1e-5)


def test_copies_have_weights_of_their_own_and_keep_policies() -> None:
    block = Residual([Branches([[layers.Dense(3, dtype="mixed_bfloat16")], []], merge="add")])
    (copy,) = copied([block])
    x = keras.Input((3,))
    model = keras.Model(x, copy(block(x)))
    first, second = [layer for layer in model.layers if isinstance(layer, layers.Dense)]
    assert first.name != second.name
    assert second.dtype_policy.name == "mixed_bfloat16"
    assert not np.array_equal(first.kernel, second.kernel)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Residual([layers.Dense(2)], option="C"), "must be A, B or null. Got 'C'"),
        (lambda: Residual([layers.Dense(2)], [layers.Dense(2)], option="A"), "a 'shortcut' or an 'option', not both"),
        (lambda: Residual(["relu"]), "'layers' parameter of Residual must be a list of layers. Got 'relu'"),
        (lambda: Branches([[layers.Dense(2)]]), "two or more lists of layers"),
        (lambda: Branches([[], []], merge="sum"), "must be one of concatenate, add"),
        (lambda: of(Residual([layers.Dense(2)]), (3,)), r"shape \(2,\) and a shortcut of \(3,\). Give it a shortcut"),
        (lambda: of(Residual([layers.Dense(2)], option="A"), (3,)), "options A and B are for images"),
        (lambda: of(Residual([layers.Conv2D(2, 3)], option="A"), (8, 8, 1)), "Option A takes every n-th row"),
        (lambda: of(Branches([[layers.Dense(2)], []], merge="add"), (3,)), r"cannot add .* \(2,\), \(3,\)"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_said(make: object, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        make()  # type: ignore[operator]


def test_a_recipe_of_wirings_is_a_plain_keras_file(tmp_path: Path) -> None:
    loaded = reading.load(write_quick(tmp_path, text=RECIPE))
    build.check(loaded)
    model = build.model(loaded, {"input_shape": (8, 8, 1), "num_classes": 10}, None)
    assert model.layers[-2].output.shape == (None, 2 + 3 + 8)
    model.save(tmp_path / "model.keras")
    x = np.random.default_rng(0).normal(size=(3, 8, 8, 1)).astype(np.float32)
    np.save(tmp_path / "x.npy", x)
    script = "import keras, numpy, sys; m = keras.models.load_model('model.keras'); " \
             "numpy.save('y.npy', m(numpy.load('x.npy'))); assert 'dltool' not in sys.modules"  # fmt: skip
    subprocess.run([sys.executable, "-c", BARE_KERAS + script], cwd=tmp_path, check=True, capture_output=True)
    np.testing.assert_allclose(np.load(tmp_path / "y.npy"), model(x), rtol=1e-5, atol=1e-6)


def test_shapes_that_cannot_be_added_are_told_at_the_recipe_s_line(tmp_path: Path) -> None:
    text = RECIPE.replace("      option: B\n", "")
    loaded = reading.load(write_quick(tmp_path, text=text))
    with pytest.raises(RecipeError) as raised:
        build.model(loaded, {"input_shape": (8, 8, 1), "num_classes": 10}, None)
    assert "quick.yaml:5:5: model[1].Residual: Residual adds outputs of shape (4, 4, 8)" in str(raised.value)


@pytest.mark.parametrize(
    ("layers_", "place"),
    [
        ("- Residual: {layers: [Flatten, {Conv2D: {filters: 2, kernel_size: 3}}]}",
         "model[0].Residual.layers[1].Conv2D: "),
        ("- Branches: {branches: [[], [{Conv2D: {filters: 2, kernel_size: 99}}]]}",
         "model[0].Branches.branches[1][0].Conv2D: "),
        ("- Repeat: {layers: [Residual: [Flatten, {Conv2D: {filters: 2, kernel_size: 3}}]], times: 2}",
         "model[0].Repeat.layers[0].Residual[1].Conv2D: "),
    ],
)  # fmt: skip
def test_an_error_inside_a_wiring_is_told_at_the_inner_layer(layers_: str, place: str, tmp_path: Path) -> None:
    text = RECIPE[: RECIPE.index("model:")] + f"model:\n  {layers_}\n" + RECIPE[RECIPE.index("compile:") :]
    loaded = reading.load(write_quick(tmp_path, text=text))
    with pytest.raises(RecipeError) as raised:
        build.model(loaded, {"input_shape": (8, 8, 1), "num_classes": 10}, None)
    assert place in str(raised.value)
