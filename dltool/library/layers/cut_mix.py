"""Rectangles of other images pasted into images, with targets to match."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from dltool.library.layers._mixing import ExampleMixing
from dltool.library.layers.cutout import inside


@keras.saving.register_keras_serializable("dltool")
class CutMix(ExampleMixing):
    """Pastes into each training image a rectangle of another of its batch, at its place; targets by area.

        height = rows * sqrt(1 - lambda), width = columns * sqrt(1 - lambda), lambda from Beta(alpha, alpha)

    The centre is any pixel; the part beyond the border is cut off, and the share of the own target is then the fraction
    of pixels that are its own. For loss and metrics see `MixUp`.

    It takes the place of keras.layers.CutMix, which would paste images alone and whose shares may be NaN.

    Args:
        alpha: > 0. Defaults to 1 as in the paper, all areas alike.
        rate: fraction of examples that are mixed, in [0, 1]. The paper has 0.5 for CIFAR, 1 for ImageNet. Defaults
            to all.
        seed: an int, or None for one of the run's.
    Input shape: (batch, rows, columns, channels); in `data.augment` only.   Output shape: the same.
    Raises:
        ValueError: if an argument is out of its range.
    Limits: an area is not a share of the object: the pasted part may be mere background.
    Reference: Yun, Han, Oh, Chun, Choe & Yoo, 2019, CutMix: regularization strategy to train strong classifiers with
        localizable features, arXiv:1905.04899, equations 1 and 2 and algorithm A1.
    """

    def __init__(self, alpha: float = 1.0, rate: float = 1.0, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(alpha, rate, seed, **kwargs)
        self.input_spec = keras.layers.InputSpec(ndim=4)

    def blend(self, images: Any, others: Any, shares: Any) -> tuple[Any, Any]:
        batch, rows, columns, _ = ops.shape(images)
        first, stop = [], []
        for extent in (rows, columns):
            half = ops.cast(extent * ops.sqrt(1 - shares), "int32") // 2
            centre = keras.random.randint((batch,), 0, extent, seed=self.seed_generator)
            first.append(ops.clip(centre - half, 0, extent))
            stop.append(ops.clip(centre + half, 0, extent))
        pasted = inside(rows, columns, first, stop)
        area = (stop[0] - first[0]) * (stop[1] - first[1])
        own = 1 - ops.cast(area, "float32") / (rows * columns)
        return ops.where(pasted, others, images), own
