"""The output units of LeNet-5."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

ROWS, COLUMNS = 12, 7
# Ten digits of 12 x 7 pixels, drawn for this file in the manner of the paper's figure 3 (not its very pixels).
DIGITS = (
    "..###.. .##.##. ##...## ##...## ##...## ##...## ##...## ##...## ##...## .##.##. ..###.. .......",
    "...##.. ..###.. .####.. ...##.. ...##.. ...##.. ...##.. ...##.. ...##.. ...##.. .###### .......",
    ".#####. ##...## .....## .....## ....##. ...##.. ..##... .##.... ##..... ##..... ####### .......",
    "####### .....## ....##. ...##.. ..####. .....## .....## .....## .....## ##...## .#####. .......",
    "....##. ...###. ..####. .##.##. ##..##. ##..##. ####### ....##. ....##. ....##. ....##. .......",
    "####### ##..... ##..... ##..... ######. .....## .....## .....## .....## ##...## .#####. .......",
    "..####. .##.... ##..... ##..... ######. ##...## ##...## ##...## ##...## .##.##. ..###.. .......",
    "####### ##...## .....## ....##. ....##. ...##.. ...##.. ..##... ..##... .##.... .##.... .......",
    ".#####. ##...## ##...## ##...## .#####. ##...## ##...## ##...## ##...## ##...## .#####. .......",
    ".#####. ##...## ##...## ##...## ##...## .###### .....## .....## .....## ....##. .####.. .......",
)


@keras.saving.register_keras_serializable("dltool")
class EuclideanRBF(keras.layers.Layer):
    """Euclidean radial basis units with fixed centres, as logits: y_i = -||x - c_i||^2.

    The paper's units give the distance itself, a penalty; with the sign turned the largest output wins, and sparse
    categorical cross-entropy from logits, y_d + log(sum_i exp(-y_i)) in the paper's penalties y, is its eq. 9
    without the constant exp(-j).

    Args:
        centers: "digits", ten bitmaps of 12 x 7 pixels of -1 and +1; or rows of numbers, one a unit.
    Input shape: (batch, features), as many features as a centre has numbers (84 for "digits").
    Output shape: (batch, units), values <= 0. No trainable parameters.
    Raises:
        ValueError: if `centers` is neither; on building, if the input has another number of features.
    Reference: LeCun et al., 1998, Gradient-based learning applied to document recognition, eq. 7 and 9, figure 3.
    """

    def __init__(self, centers: str | Sequence[Sequence[float]] = "digits", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        try:
            found = bitmaps() if isinstance(centers, str) and centers == "digits" else np.array(centers, np.float32)
        except (TypeError, ValueError):
            found = np.empty(0)
        if found.ndim != 2 or found.size == 0 or not np.isfinite(found).all():
            raise ValueError(
                f"The 'centers' parameter of EuclideanRBF must be digits or equal rows of numbers. Got {centers!r}."
            )
        self.given, self._values = centers, found
        self.units = len(found)

    def build(self, input_shape: Any) -> None:
        if input_shape[-1] != self._values.shape[1]:
            message = (
                f"EuclideanRBF's centres have {self._values.shape[1]} numbers, the input {input_shape[-1]} features."
            )
            raise ValueError(message)
        self.centers = self.add_weight(
            shape=self._values.shape,
            initializer=lambda shape, dtype=None: ops.convert_to_tensor(self._values, dtype),
            trainable=False,
            name="centers",
        )  # (units, features)

    def call(self, inputs: Any) -> Any:
        return -ops.sum(ops.square(inputs[..., None, :] - self.centers), axis=-1)  # (batch, units, features) summed

    def multiply_adds(self, inputs: Sequence[Any], output: Any) -> int:
        """Return the products of an example: a square for each unit and feature, at each position."""
        return math.prod(inputs[0][1:-1]) * math.prod(self.centers.shape)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return (*input_shape[:-1], self.units)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "centers": self.given}


def bitmaps() -> np.ndarray:
    """Return the ten digits, float32 (10, 84): +1 for ink, otherwise -1; rows of pixels one after another."""
    pixels = [[1.0 if pixel == "#" else -1.0 for pixel in digit.replace(" ", "")] for digit in DIGITS]
    return np.array(pixels, np.float32)
