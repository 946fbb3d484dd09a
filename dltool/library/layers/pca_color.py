"""Random colours along the principal components of the training set's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops


@keras.saving.register_keras_serializable("dltool")
class PCAColor(keras.layers.Layer):
    """Adds to every pixel of a training image the same random multiple of the colours' principal components.

        y = x + (high - low) * sum over i of alpha_i lambda_i p_i,  alpha_i normal with mean 0 and this `stddev`

    with p_i and lambda_i the eigenvectors and eigenvalues of the channels' covariance over all pixels of the training
    set, scaled from `value_range` to [0, 1]. The alphas are redrawn for each image. At inference it stays
    unchanged.

    Args:
        stddev: of the alphas, >= 0.
        value_range: (low, high) of the inputs, which the eigenvalues, squares of pixel values, are a matter of.
        seed: an int, or None for one of the run's.
    Input shape: (batch, ..., channels), any channels.   Output shape: the same; values may leave `value_range`.
    Raises:
        ValueError: if an argument is out of its range, or if it is to train before it was adapted.
    Limits: one channel gets brighter or darker only. With `lambda` the variance, as the paper has it, the change is
        small: some 5 of 255 for natural images.
    Reference: Krizhevsky, Sutskever & Hinton, 2012, ImageNet classification with deep convolutional neural networks,
        section 4.1.
    """

    moves_pixels = False  # so that masks and boxes stay where they are

    def __init__(
        self, stddev: float = 0.1, value_range: Sequence[float] = (0, 255), seed: int | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        if stddev < 0:
            raise ValueError(f"The 'stddev' parameter of PCAColor must be a number >= 0. Got {stddev!r}.")
        if len(value_range) != 2 or value_range[0] >= value_range[1]:
            raise ValueError(f"The 'value_range' parameter of PCAColor must be [low, high]. Got {value_range!r}.")
        self.stddev, self.value_range, self.seed = float(stddev), tuple(map(float, value_range)), seed
        self.seed_generator = keras.random.SeedGenerator(seed)
        self.is_adapted = False

    def build(self, input_shape: Any) -> None:
        channels = input_shape[-1]
        self.components = self.add_weight(  # column i is lambda_i p_i
            name="components", shape=(channels, channels), initializer="zeros", trainable=False, dtype="float32"
        )

    def adapt(self, data: Any) -> None:
        """Take the covariance of all pixels.

        Args:
            data: an array (examples, ..., channels), or batches of arrays: a tf.data.Dataset or another iterable.
        """
        low, high = self.value_range
        count, total, products = 0, np.zeros(()), np.zeros(())
        for batch in [data] if hasattr(data, "shape") else data:
            pixels = (np.asarray(batch, np.float64).reshape(-1, batch.shape[-1]) - low) / (high - low)
            count, total, products = count + len(pixels), total + pixels.sum(axis=0), products + pixels.T @ pixels
        if count == 0:
            raise ValueError("PCAColor was adapted to no data.")
        mean = total / count
        eigenvalues, eigenvectors = np.linalg.eigh(products / count - np.outer(mean, mean))
        if not self.built:
            self.build((None, len(mean)))
        self.components.assign(eigenvectors * np.maximum(eigenvalues, 0))  # rounding gives some below 0
        self.is_adapted = True

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        if not training:
            return inputs
        if not self.is_adapted:
            raise ValueError(f"{self.name} has no colours yet: adapt it, or let it stand in data.augment or the model.")
        low, high = self.value_range
        shape = (ops.shape(inputs)[0], inputs.shape[-1])
        alphas = self.stddev * keras.random.normal(shape, dtype="float32", seed=self.seed_generator)
        shift = (high - low) * ops.matmul(alphas, ops.transpose(self.components))  # (batch, channels)
        between = [1] * (len(inputs.shape) - 2)
        return inputs + ops.cast(ops.reshape(shift, (-1, *between, inputs.shape[-1])), inputs.dtype)

    def load_own_variables(self, store: Any) -> None:
        super().load_own_variables(store)
        self.is_adapted = True

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        own = {"stddev": self.stddev, "value_range": self.value_range, "seed": self.seed}
        return {**super().get_config(), **own}
