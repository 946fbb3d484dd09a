"""Mix-up of examples and their targets."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from dltool.library.layers._mixing import ExampleMixing


@keras.saving.register_keras_serializable("dltool")
class MixUp(ExampleMixing):
    """Blends each training example with another of its batch: x = lambda x_i + (1 - lambda) x_j, y likewise.

    lambda is drawn from Beta(alpha, alpha) for each example. The targets stay as the data have them, numbers of classes
    say; the loss is lambda L(y_i) + (1 - lambda) L(y_j), which for a cross-entropy is that of the blended targets and
    has its gradient for squared errors. Training metrics count the target of the larger share, as Keras does with
    blended one-hot targets. Validation and evaluation see whole examples.

    It takes the place of keras.layers.MixUp, which would blend the images alone.

    Args:
        alpha: > 0. The paper has 0.1 to 0.4 for ImageNet, 1 for CIFAR-10.
        rate: fraction of examples that are mixed, in [0, 1]. Defaults to all.
        seed: an int, or None for one of the run's.
    Input shape: (batch, ...), floating point; in `data.augment` only.   Output shape: the same.
    Raises:
        ValueError: if an argument is out of its range.
    Limits: the loss of training is never near 0, so not to be compared with that of validation.
    Reference: Zhang, Cisse, Dauphin & Lopez-Paz, 2018, mixup: beyond empirical risk minimization, arXiv:1710.09412,
        section 2 and figure 1a.
    """

    def __init__(self, alpha: float = 0.2, rate: float = 1.0, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(alpha, rate, seed, **kwargs)

    def blend(self, images: Any, others: Any, shares: Any) -> tuple[Any, Any]:
        weight = ops.cast(ops.reshape(shares, (-1, *[1] * (len(images.shape) - 1))), images.dtype)
        return weight * images + (1 - weight) * others, shares
