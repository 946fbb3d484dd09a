"""The common base of augmentations that mix examples: each example's partner, and its share."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import keras
from keras import ops

SMALLEST = 1e-30  # of a uniform number whose logarithm is taken


class ExampleMixing(keras.layers.Layer):
    """A layer of `data.augment` that mixes each example of a batch with another, and thereby their targets.

    `mix` describes the mixture, and the training step computes the loss from it: share * L(y) + (1 - share) * L(y of
    the partner). Partners are a random permutation of the batch, which may leave an example alone.

    Args:
        alpha: of the beta distribution of shares, > 0; small ones leave most examples nearly unchanged, 1 is uniform.
        rate: fraction of examples that are mixed, in [0, 1].
        seed: an int, or None for one of the run's.
    Raises:
        ValueError: if an argument is out of its range, or if it is called in training, where it cannot pass on the
            targets.
    """

    def __init__(self, alpha: float, rate: float = 1.0, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        name = type(self).__name__
        if isinstance(alpha, bool) or not isinstance(alpha, int | float) or alpha <= 0:
            raise ValueError(f"The 'alpha' parameter of {name} must be a number > 0. Got {alpha!r}.")
        if not 0 <= rate <= 1:
            raise ValueError(f"The 'rate' parameter of {name} must be in [0, 1]. Got {rate!r}.")
        self.alpha, self.rate, self.seed = float(alpha), float(rate), seed
        self.seed_generator = keras.random.SeedGenerator(seed)

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        if training:
            raise ValueError(f"{type(self).__name__} mixes targets too: it stands in data.augment itself, not inside.")
        return inputs

    def mix(self, images: Any) -> tuple[Any, Any, Any]:
        """Mix the examples of a batch.

        Returns:
            The mixed images; each one's partner, int (batch,); the share of each that is its own, float32 (batch,).
        """
        batch = ops.shape(images)[0]
        partners = keras.random.shuffle(ops.arange(batch, dtype="int32"), seed=self.seed_generator)
        shares = symmetric_beta((batch,), self.alpha, self.seed_generator)
        chosen = keras.random.uniform((batch,), seed=self.seed_generator) < self.rate
        mixed, shares = self.blend(images, ops.take(images, partners, axis=0), ops.where(chosen, shares, 1.0))
        return mixed, partners, shares

    @abstractmethod
    def blend(self, images: Any, others: Any, shares: Any) -> tuple[Any, Any]:
        """Return the images made of two batches, and the first one's actual shares, float32 (batch,)."""

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "alpha": self.alpha, "rate": self.rate, "seed": self.seed}


def symmetric_beta(shape: Any, alpha: float, seed: Any) -> Any:
    """Return numbers of the distribution Beta(alpha, alpha), float32.

        G / (G + G') of two gamma variables, each G_alpha = G_(alpha + 1) * U^(1 / alpha)

    taken in logarithms: for small alpha both gammas are 0 in floating point, and their quotient not a number.

    Reference: Marsaglia & Tsang, 2000, ACM Transactions on Mathematical Software 26, 363-372, section 6.
    """
    logarithms = []
    for _ in range(2):
        gamma = keras.random.gamma(shape, alpha + 1, dtype="float32", seed=seed)
        uniform = keras.random.uniform(shape, SMALLEST, 1, dtype="float32", seed=seed)
        logarithms.append(ops.log(gamma) + ops.log(uniform) / alpha)
    return ops.sigmoid(logarithms[0] - logarithms[1])
