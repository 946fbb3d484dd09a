"""Features brought into an interval by the least and largest values in the training data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from dltool.library.layers._adapted import batches_of


@keras.saving.register_keras_serializable("dltool")
class MinMaxScaling(keras.layers.Layer):
    """Brings each feature from its range in the training data into `feature_range`.

        y = low + (high - low) (x - min) / (max - min)

    Args:
        axis: which axes have their own minimum and maximum: an int, ints, or None for one pair over all values.
            Defaults to -1: each feature of a table, each channel of images.
        feature_range: (low, high) of the training data in the output. Defaults to (0, 1).
    Input shape: (batch, ...).   Output shape: the same; new data may leave the range.
    Raises:
        ValueError: if an argument is out of its range, or it is adapted to no data.
    Limits: gives inputs unchanged before `adapt`, but for `feature_range`. One outlier squeezes all other values: take
        `Normalization`. A feature of one value becomes `low`; max - min counts as 1 for it, as in scikit-learn, where
        slide 84 adds an epsilon to every max - min.
    Reference: lecture slide 84; scikit-learn's MinMaxScaler.
    """

    is_pointwise = True  # for receptive fields

    def __init__(
        self,
        axis: int | Sequence[int] | None = -1,
        feature_range: Sequence[float] = (0, 1),
        **kwargs: Any,
    ) -> None:
        super().__init__(autocast=False, **kwargs)  # scaled in the variables' precision
        axes = () if axis is None else (axis,) if isinstance(axis, int) else tuple(axis)
        if not all(isinstance(one, int) and not isinstance(one, bool) and one != 0 for one in axes):
            raise ValueError(f"The 'axis' parameter of MinMaxScaling must be axes behind the batch's. Got {axis!r}.")
        if len(feature_range) != 2 or feature_range[0] >= feature_range[1]:
            raise ValueError(
                f"The 'feature_range' parameter of MinMaxScaling must be [low, high]. Got {feature_range!r}."
            )
        self.axis, self.feature_range = axis, tuple(map(float, feature_range))
        self._axes = axes

    def build(self, input_shape: Any) -> None:
        kept = {one % len(input_shape) for one in self._axes}
        sizes = [input_shape[i] if i in kept else 1 for i in range(len(input_shape))]
        if None in sizes:
            raise ValueError(f"MinMaxScaling needs a size of each axis in 'axis'. Got the shape {tuple(input_shape)}.")
        self._reduced = tuple(i for i in range(len(input_shape)) if i not in kept)
        self.minimum = self._state("minimum", sizes, "zeros")
        self.maximum = self._state("maximum", sizes, "ones")

    def adapt(self, data: Any) -> None:
        """Take least and largest values.

        Args:
            data: an array (examples, ...), or batches of arrays: a tf.data.Dataset or another iterable.
        """
        low, high = np.inf, -np.inf
        for batch in batches_of(data, "MinMaxScaling"):
            if not self.built:
                self.build((None, *batch.shape[1:]))
            low = np.minimum(low, batch.min(axis=self._reduced, keepdims=True))
            high = np.maximum(high, batch.max(axis=self._reduced, keepdims=True))
        self.minimum.assign(low)
        self.maximum.assign(high)

    def call(self, inputs: Any) -> Any:
        low, high = self.feature_range
        scaled = (ops.cast(inputs, self.variable_dtype) - self.minimum) / self._span()
        return ops.cast(low + (high - low) * scaled, self.compute_dtype)

    def invert(self, outputs: Any) -> Any:
        """Return the inputs that were scaled to `outputs`, in the variables' type."""
        low, high = self.feature_range
        return (ops.cast(outputs, self.variable_dtype) - low) / (high - low) * self._span() + self.minimum

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "axis": self.axis, "feature_range": self.feature_range}

    def _span(self) -> Any:
        span = self.maximum - self.minimum
        return ops.where(span > 0, span, ops.ones_like(span))

    def _state(self, name: str, shape: Sequence[int], initializer: str) -> Any:
        return self.add_weight(name=name, shape=shape, initializer=initializer, trainable=False, autocast=False)
