"""Images whose ink is brought to one width."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable("dltool")
class WidthNormalization(keras.layers.Layer):
    """Scales each image horizontally so that the bounding box of its ink is `width` pixels wide, and centres the box.

        y(r, j) = sum over i of w(i, j) x(r, i),  w(i, j) proportional to max(0, 1 - |i - u(j)| / max(1, s))
        u(j) = (first + last) / 2 + s (j - (columns - 1) / 2),  s = (last - first + 1) / width

    with first and last the outermost columns that hold ink. Where the box shrinks (s > 1) the triangle is as wide as
    the pixels it draws together, so that thin strokes do not vanish; where it grows this is linear interpolation.
    The height stays unchanged. Deterministic, in training as at inference.

    Args:
        width: of the ink's bounding box in the output, in pixels, > 0.
        threshold: ink differs from the background by more than this, >= 0, in units of the input.
        background: value of empty pixels.
    Input shape: (batch, rows, columns, channels); an image without ink stays unchanged.   Output shape: the same.
    Raises:
        ValueError: if `width` is not positive or `threshold` is negative.
    Limits: parts that would lie beyond the border after a large `width` is cut off; one faint pixel off the object
        widens its box.
    Reference: Ciresan, Meier & Schmidhuber, 2012, Multi-column deep neural networks for image classification,
        section 3.1 (digits normalised to widths of 10 to 20 pixels).
    """

    moves_pixels = True  # so that masks would have to move alike

    def __init__(self, width: float, threshold: float = 0.0, background: float = 0.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if isinstance(width, bool) or not isinstance(width, int | float) or width <= 0:
            raise ValueError(f"The 'width' parameter of WidthNormalization must be a number > 0. Got {width!r}.")
        if threshold < 0:
            raise ValueError(f"The 'threshold' parameter of WidthNormalization must be >= 0. Got {threshold!r}.")
        self.width, self.threshold, self.background = width, threshold, background
        self.input_spec = keras.layers.InputSpec(ndim=4)

    def call(self, inputs: Any) -> Any:
        columns = inputs.shape[2]
        x = ops.cast(inputs, "float32") - self.background
        ink = ops.cast(ops.max(ops.abs(x), axis=(1, 3)) > self.threshold, "int32")  # (batch, columns)
        first = ops.cast(ops.argmax(ink, axis=1), "float32")
        last = columns - 1 - ops.cast(ops.argmax(ops.flip(ink, axis=1), axis=1), "float32")
        some = ops.max(ink, axis=1) > 0
        middle = (columns - 1) / 2
        scale = ops.where(some, (last - first + 1) / self.width, 1.0)[:, None, None]
        centre = ops.where(some, (first + last) / 2, middle)[:, None, None]
        i = ops.reshape(ops.arange(columns, dtype="float32"), (1, -1, 1))
        u = centre + scale * (ops.reshape(ops.arange(columns, dtype="float32"), (1, 1, -1)) - middle)
        weights = ops.relu(1 - ops.abs(i - u) / ops.maximum(scale, 1.0))  # (batch, columns in, columns out)
        weights /= ops.maximum(ops.sum(weights, axis=1, keepdims=True), 1e-6)  # 0 where u is beyond the border
        y = ops.matmul(ops.transpose(x, (0, 3, 1, 2)), weights[:, None])  # (batch, channels, rows, columns)
        return ops.cast(ops.transpose(y, (0, 2, 3, 1)) + self.background, inputs.dtype)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        own = {"width": self.width, "threshold": self.threshold, "background": self.background}
        return {**super().get_config(), **own}
