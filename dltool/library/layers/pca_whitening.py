"""Examples as their principal components, scaled to unit variance."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from dltool.data import arguments
from dltool.library.layers._whitening import Whitening


@keras.saving.register_keras_serializable("dltool")
class PCAWhitening(Whitening):
    """Projects flattened examples onto their principal axes and scales each component to unit variance.

        y = (x - mean) U diag(1 / sqrt(lambda + epsilon)),  covariance = U diag(lambda) U', lambda falling

    The number of largest magnitude in each axis is positive, so that the same data give the same signs.

    Args:
        components: how many principal components are kept, int > 0. None keeps as many as the example has numbers.
        epsilon: added to the variances lambda, in squared units of the input, >= 0. Defaults to 0.
    Input shape: (batch, ...), examples of one fixed shape.   Output shape: (batch, components).
    Raises:
        ValueError: if an argument is out of its range or `components` more than the numbers of an example, or the data
            that it is adapted to are fewer than two examples.
    Limits: gives the first `components` inputs unchanged before `adapt`. Neighbours in an image are none in its
        components: for convolutions take `ZCAWhitening`. Components without variance are 0.
    Reference: Jolliffe, 2002, Principal Component Analysis; lecture slide 84 (its ZCA without the rotation back).
    """

    def __init__(self, components: int | None = None, epsilon: float = 0.0, **kwargs: Any) -> None:
        super().__init__(epsilon, **kwargs)
        self.components = None if components is None else arguments.integer("PCAWhitening", "components", components, 1)

    def _units(self, size: int) -> int:
        if self.components is not None and self.components > size:
            raise ValueError(f"PCAWhitening can't keep {self.components} components of examples of {size} numbers.")
        return self.components or size

    def _output_of(self, example_shape: tuple[int, ...]) -> tuple[int, ...]:
        return (self._units(int(np.prod(example_shape))),)

    def _matrices(self, axes: np.ndarray, variances: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        kept = axes[:, : self._units(len(axes))]
        kept = kept * np.sign(kept[np.abs(kept).argmax(axis=0), np.arange(kept.shape[1])])
        scales, unscales = self._scales(variances[: kept.shape[1]])
        return kept * scales, (kept * unscales).T

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "components": self.components}
