"""How far two sets of examples lie apart as distributions, seen from many directions."""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import ops

from dltool.data.arguments import integer


@keras.saving.register_keras_serializable("dltool")
class SlicedWasserstein(keras.losses.Loss):
    """D / P * sum over directions p of mean over i of (sort(Y w_p)_i - sort(G w_p)_i)^2.

    Y and G are the targets and the outputs of a batch, flattened to D values; w_p are P unit vectors. The order of
    examples means nothing: a batch of made images is compared with a batch of real ones as a whole. The factor D makes
    it the mean squared error of an example where the two sets differ by a shift.

    Args:
        projections: P, int > 0.
        seed: of the directions, the same for each batch, int >= 0.
        reduction: as in Keras's losses. Defaults to the mean over the ranks i.
    Input shape: targets and outputs (batch, ...).
    Raises:
        ValueError: if `projections` or `seed` is out of its range.
    Limits: even two batches of one distribution are apart, the more the smaller they are: compare values of equal batch
        sizes only. Differences that few directions show, such as sharpness, count little.
    Reference: Rabin et al., 2011, Wasserstein barycenter and its application to texture mixing; Deshpande et al., 2018,
        Generative modeling using the sliced Wasserstein distance, arXiv:1803.11188.
    """

    def __init__(
        self,
        projections: int = 128,
        seed: int = 0,
        reduction: str = "sum_over_batch_size",
        name: str = "sliced_wasserstein",
        dtype: Any = None,
    ) -> None:
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        self.projections = integer("SlicedWasserstein", "projections", projections, 1)
        self.seed = integer("SlicedWasserstein", "seed", seed, 0)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        size = math.prod(y_pred.shape[1:])
        directions = keras.random.normal((size, self.projections), dtype=y_pred.dtype, seed=self.seed)
        directions = directions / ops.norm(directions, axis=0)
        ranked = [
            ops.sort(ops.matmul(ops.reshape(ops.cast(one, y_pred.dtype), (-1, size)), directions), axis=0)
            for one in (y_true, y_pred)
        ]
        return size * ops.mean(ops.square(ranked[0] - ranked[1]), axis=1)  # (batch,), by rank

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "projections": self.projections, "seed": self.seed}
