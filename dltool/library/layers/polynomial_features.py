"""Products of inputs as features: what lets a linear model solve XOR."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops


@keras.saving.register_keras_serializable("dltool")
class PolynomialFeatures(keras.layers.Layer):
    """All products of at most `degree` inputs: of (a, b) with degree 2 these are a, b, a^2, a b, b^2.

    In the order of `sklearn.preprocessing.PolynomialFeatures`: by degree, then by the inputs' numbers.

    Args:
        degree: the largest number of factors, int > 0. Defaults to 2.
        interaction_only: whether each input occurs at most once in a product: a, b, a b. Defaults to False.
        include_bias: whether the first feature is the constant 1. Defaults to False: the layer after has a bias.
    Input shape: (batch, ..., inputs).
    Output shape: (batch, ..., features); with n inputs C(n + degree, degree) - 1 features, and one more for the bias.
    Raises:
        ValueError: if `degree` is no int > 0.
    Limits: the number of features grows as inputs^degree; scale the inputs to about [-1, 1] for high degrees.
    Reference: lecture slides 9 and 31 (basis functions of the perceptron).
    """

    def __init__(
        self, degree: int = 2, interaction_only: bool = False, include_bias: bool = False, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        if isinstance(degree, bool) or not isinstance(degree, int) or degree < 1:
            raise ValueError(f"The 'degree' parameter of PolynomialFeatures must be an int > 0. Got {degree!r}.")
        self.degree, self.interaction_only, self.include_bias = degree, bool(interaction_only), bool(include_bias)

    def call(self, inputs: Any) -> Any:
        factors = self._factors(inputs.shape[-1])  # (features, degree)
        padded = ops.concatenate([inputs, ops.ones_like(inputs[..., :1])], axis=-1)
        shape = (*ops.shape(inputs)[:-1], *factors.shape)
        return ops.prod(ops.reshape(ops.take(padded, factors.reshape(-1), axis=-1), shape), axis=-1)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return (*input_shape[:-1], len(self._factors(input_shape[-1])))

    def multiply_adds(self, inputs: Sequence[Any], output: Any) -> int:
        """Return the products of an example: one for each factor of a feature after its first."""
        factors = self._factors(inputs[0][-1])
        extra = int(np.maximum((factors < inputs[0][-1]).sum(axis=1) - 1, 0).sum())
        return math.prod(inputs[0][1:-1]) * extra

    def get_config(self) -> dict[str, Any]:
        own = {"degree": self.degree, "interaction_only": self.interaction_only, "include_bias": self.include_bias}
        return {**super().get_config(), **own}

    def _factors(self, inputs: int) -> np.ndarray:
        """Return the inputs of each product, int (features, degree); the number `inputs` stands for the factor 1."""
        choose = itertools.combinations if self.interaction_only else itertools.combinations_with_replacement
        products = [
            product
            for size in range(0 if self.include_bias else 1, self.degree + 1)
            for product in choose(range(inputs), size)
        ]
        return np.array([(*product, *[inputs] * (self.degree - len(product))) for product in products], np.int32)
