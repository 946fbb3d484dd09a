"""What a layer's class says of itself (pointwise, multiply-adds) holds of what it computes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dltool.graph.multiply_adds import multiply_adds
from dltool.graph.receptive_field import is_pointwise
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
