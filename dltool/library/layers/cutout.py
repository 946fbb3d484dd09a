"""Squares cut out of images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable("dltool")
class Cutout(keras.layers.Layer):
    """Fills one square of each training image with a constant; its centre is any pixel, so it may leave the border.

        rows r with centre - size // 2 <= r < centre - size // 2 + size, columns likewise

    The centre is redrawn for each image. At inference the image stays unchanged. Unlike keras.layers.RandomErasing
    the square is never moved to lie within the image: the paper found it important that some images stay mostly whole.

    Args:
        size: of a side in pixels, int > 0. The paper has 16 for CIFAR-10, 8 for CIFAR-100, 20 for SVHN, of 32 x 32.
        fill_value: a number, or one per channel. The paper's 0 is that of normalised images, the training set's mean:
            for raw pixels give the mean, or put the layer after the normalisation.
        seed: an int, or None for one of the run's.
    Input shape: (batch, rows, columns, channels).   Output shape: the same.
    Raises:
        ValueError: if `size` is no positive int, or the channels are not as many as the fill values.
    Limits: the best size is a matter of the data set; too large a one hides the object.
    Reference: DeVries & Taylor, 2017, Improved regularization of convolutional neural networks with Cutout,
        arXiv:1708.04552, section 3.
    """

    moves_pixels = False  # so that masks and boxes stay where they are

    def __init__(
        self, size: int, fill_value: float | Sequence[float] = 0.0, seed: int | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        if isinstance(size, bool) or not isinstance(size, int) or size < 1:
            raise ValueError(f"The 'size' parameter of Cutout must be an int > 0. Got {size!r}.")
        self.size, self.fill_value, self.seed = size, fill_value, seed
        self.seed_generator = keras.random.SeedGenerator(seed)
        self.input_spec = keras.layers.InputSpec(ndim=4)

    def build(self, input_shape: Any) -> None:
        if isinstance(self.fill_value, Sequence) and len(self.fill_value) != input_shape[-1]:
            message = f"a number, or {input_shape[-1]} numbers for as many channels. Got {self.fill_value!r}."
            raise ValueError(f"The 'fill_value' parameter of Cutout must be {message}")

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        if not training:
            return inputs
        batch, rows, columns, _ = ops.shape(inputs)
        centres = [keras.random.randint((batch,), 0, extent, seed=self.seed_generator) for extent in (rows, columns)]
        first = [centre - self.size // 2 for centre in centres]
        hole = inside(rows, columns, first, [start + self.size for start in first])
        return ops.where(hole, ops.cast(self.fill_value, inputs.dtype), inputs)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        own = {"size": self.size, "fill_value": self.fill_value, "seed": self.seed}
        return {**super().get_config(), **own}


def inside(rows: int, columns: int, first: Sequence[Any], stop: Sequence[Any]) -> Any:
    """Return whether first <= (row, column) < stop for each pixel, bool (batch, rows, columns, 1).

    Args:
        first, stop: for rows and columns, int (batch,) each; beyond the border there is nothing to hold.
    """
    held = []
    for extent, low, high in zip((rows, columns), first, stop, strict=True):
        index = ops.arange(extent, dtype="int32")[None]
        held.append(ops.logical_and(index >= low[:, None], index < high[:, None]))  # (batch, extent)
    return ops.logical_and(held[0][:, :, None, None], held[1][:, None, :, None])
