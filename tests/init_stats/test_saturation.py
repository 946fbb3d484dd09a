"""Shares of saturated activations, counted by hand."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

from dltool.init_stats.saturation import saturated_share


@pytest.mark.parametrize(
    ("function", "share"),
    [
        (keras.activations.elu, 3 / 4),  # below -0.9
        (keras.layers.ELU(alpha=3.0).call, 1 / 4),  # below -2.7
        (keras.layers.ELU().call, 3 / 4),
    ],
)
def test_an_elu_is_saturated_near_its_own_alpha(function: Any, share: float) -> None:
    assert saturated_share(function, np.array([[-2.8, -2.0, -0.95, 5.0]])) == share


def test_a_sparse_sigmoid_is_saturated_where_it_reaches_its_bounds() -> None:
    inputs = np.array([[-2.0, -1.0, -0.9, 0.9, 1.5]], np.float32)
    outputs = np.asarray(keras.activations.sparse_sigmoid(inputs))
    assert saturated_share(keras.activations.sparse_sigmoid, outputs) == pytest.approx(3 / 5)
