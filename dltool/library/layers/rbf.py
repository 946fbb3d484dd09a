"""Gaussian radial basis units, their centres placed by the training data."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from dltool.library.layers import _placement as placement

FEW_FEATURES = 16  # up to so many, distances are exact to the last digits; rounding counts least among many features


@keras.saving.register_keras_serializable("dltool")
class RBF(keras.layers.Layer):
    """Gaussian radial basis units: y_j = exp(-||x - c_j||^2 / (2 sigma_j^2)).

    `adapt` places the centres c and sets the widths sigma from the training data; both are weights, which gradient
    descent changes unless the layer has `trainable: false` or a stage leaves it out.

    Args:
        units: number of centres, int > 0; None with `centers: samples`.
        centers: how they are placed: "samples" (one on each training sample), "uniform" (a regular grid between the
            smallest and largest inputs, k^features units), "random" (on samples drawn at random), "kmeans"
            (scikit-learn's, the best of 4 starts) or "growing_neural_gas" (Fritzke). Defaults to "kmeans".
        sigma: one width for all, in units of the input, > 0. Defaults to None: each from its neighbours.
        neighbours: a centre's width is `overlap` times its mean distance to this many nearest others, int > 0.
            Defaults to 2.
        overlap: factor of widths from neighbours, > 0. Defaults to 1.0.
        seed: seed of the placement, int >= 0. Defaults to 0.
    Input shape: (batch, features).   Output shape: (batch, units), values in (0, 1].
    Raises:
        ValueError: if an argument is out of its range; on adapting, if the data do not allow the placement; on
            building, if the number of units is not known.
    Limits: `adapt` holds the training data in memory. Far from every centre all outputs are 0, and their gradients too.
        Distances are of the raw inputs: bring features to one scale first (Normalization).
    Reference: Broomhead & Lowe, 1988, Multivariable functional interpolation and adaptive networks; Moody & Darken,
        1989, Fast learning in networks of locally-tuned processing units (widths); lecture slides 32-33.
    """

    def __init__(
        self,
        units: int | None = None,
        centers: str = "kmeans",
        sigma: float | None = None,
        neighbours: int = 2,
        overlap: float = 1.0,
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if centers not in placement.METHODS:
            words = ", ".join(placement.METHODS)
            raise ValueError(f"The 'centers' parameter of RBF must be one of {words}. Got {centers!r}.")
        if (units is not None or centers != "samples") and not _is_count(units, 1):
            raise ValueError(f"The 'units' parameter of RBF must be an int > 0. Got {units!r}.")
        if centers == "growing_neural_gas" and units == 1:
            raise ValueError("The 'units' parameter of RBF must be an int > 1 for growing_neural_gas. Got 1.")
        for name, value in (("sigma", 1.0 if sigma is None else sigma), ("overlap", overlap)):
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
                raise ValueError(f"The '{name}' parameter of RBF must be a number > 0. Got {value!r}.")
        if not _is_count(neighbours, 1):
            raise ValueError(f"The 'neighbours' parameter of RBF must be an int > 0. Got {neighbours!r}.")
        if not _is_count(seed, 0):
            raise ValueError(f"The 'seed' parameter of RBF must be an int >= 0. Got {seed!r}.")
        self.units, self.placed, self.given_sigma = units, centers, sigma
        self.neighbours, self.overlap, self.seed = neighbours, overlap, seed

    def build(self, input_shape: Any) -> None:
        if self.units is None:
            raise ValueError("training samples are its centres, and were not read here: adapt it, or open a run.")
        self.centers = self.add_weight(
            name="centers", shape=(self.units, input_shape[-1]), initializer="random_normal"
        )  # (units, features)
        self.sigma = self.add_weight(name="sigma", shape=(self.units,), initializer="ones")

    def adapt(self, data: Any) -> None:
        """Place the centres and set the widths.

        Args:
            data: an array (examples, features), or batches of arrays: a tf.data.Dataset or another iterable.
        """
        batches = [np.asarray(batch, np.float64) for batch in ([data] if hasattr(data, "shape") else data)]
        samples = np.concatenate(batches)
        if samples.ndim != 2:
            raise ValueError(f"RBF takes inputs (batch, features). Got {samples.shape}: put Flatten before it.")
        centers = placement.place(samples, self.placed, self.units, self.seed)
        if self.given_sigma is None:
            widths = self.overlap * placement.measure_widths(centers, self.neighbours)
        else:
            widths = np.full(len(centers), self.given_sigma)
        self.units = len(centers)
        if not self.built:
            self.build((None, samples.shape[1]))
        self.centers.assign(centers)
        self.sigma.assign(widths)

    def call(self, inputs: Any) -> Any:
        if inputs.shape[-1] <= FEW_FEATURES:
            distances = ops.sum(ops.square(inputs[:, None, :] - self.centers), axis=-1)  # (batch, units)
        else:  # ||x||^2 - 2 x c + ||c||^2: a product of matrices, in place of (batch, units, features) numbers
            products = inputs @ ops.transpose(self.centers)
            squares = ops.sum(ops.square(inputs), axis=-1, keepdims=True)
            distances = squares - 2 * products + ops.sum(ops.square(self.centers), axis=-1)
            distances = ops.maximum(distances, 0)  # rounding
        return ops.exp(-distances / (2 * ops.square(self.sigma)))

    def compute_output_shape(self, input_shape: Any) -> Any:
        return (*input_shape[:-1], self.units)

    def multiply_adds(self, inputs: Sequence[Any], output: Any) -> int:
        """Return the products of an example: a square for each unit and feature."""
        return math.prod(self.centers.shape)

    def get_config(self) -> dict[str, Any]:
        own = {
            "units": self.units,
            "centers": self.placed,
            "sigma": self.given_sigma,
            "neighbours": self.neighbours,
            "overlap": self.overlap,
            "seed": self.seed,
        }
        return {**super().get_config(), **own}


def _is_count(value: Any, low: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= low
