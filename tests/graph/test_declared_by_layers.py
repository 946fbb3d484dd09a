"""What a layer's class says of itself (pointwise, multiply-adds) holds of what it computes."""

from __future__ import annotations

import contextlib
from typing import Any

import keras
import numpy as np
import pytest

from dltool.graph.multiply_adds import multiply_adds
from dltool.graph.receptive_field import OVER_CHANNELS, is_pointwise
from dltool.graph.receptive_field import POINTWISE as POINTWISE_OF_KERAS
from dltool.library.layers.binary_conv2d import BinaryConv2D
from dltool.library.layers.binary_dense import BinaryDense
from dltool.library.layers.euclidean_rbf import EuclideanRBF
from dltool.library.layers.partial_conv2d import PartialConv2D
from dltool.recipe import catalogue

LAYERS = {name: catalogue.find("layers", name) for name in catalogue.own("layers")}
POINTWISE = sorted(name for name, layer in LAYERS.items() if getattr(layer, "is_pointwise", False))


def test_some_layers_are_pointwise() -> None:
    assert {"BinarySign", "ScaledTanh", "LocalResponseNormalization"} <= set(POINTWISE)


@pytest.mark.parametrize("name", POINTWISE)
def test_a_changed_position_changes_that_position_alone(name: str) -> None:
    layer = LAYERS[name]()
    x = np.random.default_rng(0).normal(size=(1, 5, 4, 6)).astype("float32")
    other = x.copy()
    other[0, 2, 1] *= -3.0
    changed = np.any(np.asarray(layer(x)) != np.asarray(layer(other)), axis=-1)
    assert is_pointwise(layer) and [*zip(*np.nonzero(changed), strict=True)] == [(0, 2, 1)]


FOLDERS = (
    "activations",
    "core",
    "normalization",
    "preprocessing.normalization",
    "preprocessing.rescaling",
    "regularization",
)
SIMPLE = ("Abs", "Exp", "Gelu", "Log", "Negative", "Relu", "Relu6", "Sigmoid", "Silu", "Sqrt", "Square", "Tanh")
OPERATIONS: dict[str, Any] = {"Cast": ("float64",), "Clip": (0.2, 1.5), **dict.fromkeys(SIMPLE, ())}


def test_layers_of_keras_that_work_on_each_position_alone_are_known() -> None:
    """Each is asked with and without a changed position; the names in `receptive_field` are kept by hand."""
    x = np.random.default_rng(0).normal(size=(1, 5, 4, 6)).astype("float32")
    other = x.copy()
    other[0, 2, 1] *= -3.0
    found, known = set(), set()
    for name in catalogue.known("layers"):
        kind = getattr(keras.layers, name, None)
        home = getattr(kind, "__module__", "").removeprefix("keras.src.layers.")
        if name in LAYERS or not home.startswith(FOLDERS):
            continue
        with contextlib.suppress(TypeError, ValueError):  # of another rank, or with arguments that have no default
            layer = kind(0.3) if home.startswith(("regularization", "preprocessing.rescaling")) else kind()
            before, after = (np.asarray(layer(one)) for one in (x, other))
            changed = np.nonzero((before != after).any(axis=-1)) if before.shape[:3] == x.shape[:3] else ([],)
            found |= {name} if [*zip(*changed, strict=True)] == [(0, 2, 1)] else set()
            known |= {name} if is_pointwise(layer) else set()
    assert known >= {"BatchNormalization", "Dropout", "ReLU", "Rescaling"}
    assert found - {*OVER_CHANNELS} == known


@pytest.mark.parametrize("name", OPERATIONS)
def test_operations_of_keras_that_are_known_work_on_each_position_alone(name: str) -> None:
    x = np.linspace(0.5, 2, 5).astype("float32")
    other = np.where(np.arange(5) == 2, np.float32(0.1), x)
    before, after = (np.asarray(getattr(keras.ops, name.lower())(one, *OPERATIONS[name])) for one in (x, other))
    np.testing.assert_array_equal(np.nonzero(before != after)[0], [2])


def test_each_known_name_is_one_of_keras_s() -> None:
    others = {"HardSigmoid", "HardSilu", "LayerScale", "StochasticDepth"}  # operations of two words; layers of ConvNeXt
    assert {name for name in POINTWISE_OF_KERAS if not hasattr(keras.layers, name)} == {*OPERATIONS, *others}


@pytest.mark.parametrize(
    ("layer", "shape", "products"),
    [
        (BinaryDense(5), (1, 7), 7 * 5),
        (BinaryConv2D(5, 3), (1, 8, 6, 2), 6 * 4 * 3 * 3 * 2 * 5),  # positions x kernel
        (EuclideanRBF(np.ones((5, 7)).tolist()), (1, 7), 7 * 5),  # a square for each feature and unit
        # output map 0 sees input map 0, output map 1 both: three connected pairs
        (PartialConv2D([[0], [0, 1]], 3), (1, 5, 5, 2), 3 * 3 * 3 * 3 * 3),
    ],
)
def test_own_layers_count_their_products(layer: Any, shape: tuple[int, ...], products: int) -> None:
    output = layer(np.ones(shape, "float32"))
    assert multiply_adds(layer, [shape], tuple(output.shape)) == products
