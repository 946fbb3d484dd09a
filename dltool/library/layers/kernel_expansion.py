"""A function in a kernel's space: a weighted sum of kernels at the training samples."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from dltool.library.layers._kernels import KERNELS


@keras.saving.register_keras_serializable("dltool")
class KernelExpansion(keras.layers.Layer):
    """Dual form of a linear predictor: y_u = sum over samples i of a_iu k(x_i, x).

    `adapt` keeps the training samples x_i, as the layers before give them; the dual coefficients a are the layer's
    only trainable weights, 0 at first. The procedure KernelPerceptron finds them; samples with a = 0 are no support.

    Args:
        units: number of outputs, int > 0. Defaults to 1.
        kernel: "linear", "polynomial" (or "poly"), "sigmoid", "rbf", "laplacian", "cosine", "additive_chi2" or
            "chi2", with the formulas and arguments of `sklearn.metrics.pairwise`. Defaults to "rbf".
        gamma: factor within the kernel, > 0. Defaults to 1 / features; for chi2 to 1.
        degree: power of the polynomial kernel, >= 0. Defaults to 3.
        coef0: constant within the polynomial and sigmoid kernels. Defaults to 1.
        samples: how many training samples there are, which `adapt` sets.
    Input shape: (batch, features).   Output shape: (batch, units).
    Raises:
        ValueError: if an argument is out of its range; on building, if it was not adapted.
    Limits: memory and time of an example grow with the number of training samples: some 10,000 are a sensible most.
        The sigmoid kernel is not positive definite; chi2 kernels take features >= 0.
    Reference: lecture slide 18; Aizerman, Braverman & Rozonoer, 1964, Theoretical foundations of the potential
        function method in pattern recognition learning.
    """

    def __init__(
        self,
        units: int = 1,
        kernel: str = "rbf",
        gamma: float | None = None,
        degree: float = 3,
        coef0: float = 1.0,
        samples: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if isinstance(units, bool) or not isinstance(units, int) or units < 1:
            raise ValueError(f"The 'units' parameter of KernelExpansion must be an int > 0. Got {units!r}.")
        if kernel not in KERNELS:
            words = ", ".join(KERNELS)
            raise ValueError(f"The 'kernel' parameter of KernelExpansion must be one of {words}. Got {kernel!r}.")
        if gamma is not None and not (isinstance(gamma, int | float) and 0 < gamma < math.inf):
            raise ValueError(f"The 'gamma' parameter of KernelExpansion must be a number > 0. Got {gamma!r}.")
        if not isinstance(degree, int | float) or not 0 <= degree < math.inf:
            raise ValueError(f"The 'degree' parameter of KernelExpansion must be a number >= 0. Got {degree!r}.")
        if not isinstance(coef0, int | float) or not math.isfinite(coef0):
            raise ValueError(f"The 'coef0' parameter of KernelExpansion must be a number. Got {coef0!r}.")
        self.units, self.kernel, self.gamma = units, kernel, gamma
        self.degree, self.coef0, self.samples = degree, coef0, samples

    def build(self, input_shape: Any) -> None:
        if self.samples is None:
            raise ValueError("it keeps training samples, which were not read here: adapt it, or open a run.")
        self.points = self.add_weight(
            name="points", shape=(self.samples, input_shape[-1]), initializer="zeros", trainable=False
        )
        self.coefficients = self.add_weight(name="coefficients", shape=(self.samples, self.units), initializer="zeros")

    def adapt(self, data: Any) -> None:
        """Keep the training samples.

        Args:
            data: an array (examples, features), or batches of arrays: a tf.data.Dataset or another iterable.
        """
        batches = [np.asarray(batch, np.float64) for batch in ([data] if hasattr(data, "shape") else data)]
        points = np.concatenate(batches)
        if points.ndim != 2:
            raise ValueError(f"KernelExpansion takes (batch, features). Got {points.shape}: put Flatten before it.")
        self.samples = len(points)
        if not self.built:
            self.build((None, points.shape[1]))
        self.points.assign(points)

    def compute_kernel(self, x: Any, y: Any) -> Any:
        """Return k of each point of x (n, features) with each of y (m, features), (n, m)."""
        gamma = self.gamma or (1.0 if self.kernel == "chi2" else 1 / x.shape[-1])
        return KERNELS[self.kernel](x, y, gamma, self.degree, self.coef0)

    def call(self, inputs: Any) -> Any:
        return ops.matmul(self.compute_kernel(inputs, self.points), self.coefficients)  # (batch, samples) @ (.., units)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return (*input_shape[:-1], self.units)

    def multiply_adds(self, inputs: Sequence[Any], output: Any) -> int:
        """Return the products of an example: a kernel with each sample, and its coefficients."""
        return math.prod(self.points.shape) + math.prod(self.coefficients.shape)

    def get_config(self) -> dict[str, Any]:
        own = {
            "units": self.units,
            "kernel": self.kernel,
            "gamma": self.gamma,
            "degree": self.degree,
            "coef0": self.coef0,
            "samples": self.samples,
        }
        return {**super().get_config(), **own}
