"""Examples decorrelated and scaled to unit variance, as close to themselves as that allows."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from dltool.library.layers._whitening import Whitening


@keras.saving.register_keras_serializable("dltool")
class ZCAWhitening(Whitening):
    """Whitens flattened examples by the symmetric square root of their covariance.

        y = (x - mean) W,  W = U diag(1 / sqrt(lambda + epsilon)) U',  covariance = U diag(lambda) U'

    The covariance of y over the training data is the identity (for epsilon 0). Among all W of that kind the symmetric
    one changes x least: whitened images still look like images, with edges enhanced.

    Args:
        epsilon: added to the variances lambda, in squared units of the input, >= 0: tames directions that hold noise
            alone. Defaults to 0.
    Input shape: (batch, ...), examples of one fixed shape.   Output shape: the same.
    Raises:
        ValueError: if `epsilon` is negative, or the data that it is adapted to are fewer than two examples.
    Limits: whitens nothing before `adapt` and gives inputs unchanged. With d numbers an example it keeps two matrices
        of d * d and `adapt` takes time of order d^3: half a minute for 32 x 32 x 3. Fewer examples than numbers give
        directions without variance, which are left out. Slide 84 prints W = (X X')^(-1/2) / sqrt(n - 1); with the
        covariance X X' / (n - 1) it is sqrt(n - 1) (X X')^(-1/2).
    Reference: Bell & Sejnowski, 1997, Vision Research 37, 3327-3338; Krizhevsky, 2009, Learning multiple layers of
        features from tiny images, appendix A; lecture slide 84.
    """

    def __init__(self, epsilon: float = 0.0, **kwargs: Any) -> None:
        super().__init__(epsilon, **kwargs)

    def _matrices(self, axes: np.ndarray, variances: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        scales, unscales = self._scales(variances)
        return (axes * scales) @ axes.T, (axes * unscales) @ axes.T
