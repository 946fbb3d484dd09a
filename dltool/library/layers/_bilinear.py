"""Images read between their pixels."""

from __future__ import annotations

from typing import Any

from keras import ops


def sample(images: Any, positions: Any, fill_value: float = 0.0) -> Any:
    """Return images, interpolated bilinearly at given positions.

    Args:
        images: float (batch, rows, columns, channels).
        positions: (row, column) in pixels that each pixel of the result is read at, float (batch, rows', columns', 2).
        fill_value: of all pixels beyond the border, which take part in the interpolation.
    Returns:
        float (batch, rows', columns', channels).
    """
    batch, rows, columns, channels = ops.shape(images)
    padded = ops.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)), constant_values=fill_value)
    # the four neighbours side by side, so that one look-up a pixel fetches them all: (batch, rows + 1, columns + 1, 4c)
    corners = ops.concatenate([padded[:, :-1, :-1], padded[:, :-1, 1:], padded[:, 1:, :-1], padded[:, 1:, 1:]], axis=-1)
    row = ops.clip(positions[..., 0] + 1, 0, rows + 1)
    column = ops.clip(positions[..., 1] + 1, 0, columns + 1)
    upper, left = ops.minimum(ops.floor(row), rows), ops.minimum(ops.floor(column), columns)
    below, right = row - upper, column - left  # in [0, 1]
    image = ops.reshape(ops.arange(batch, dtype="int32") * ((rows + 1) * (columns + 1)), (-1, 1, 1))
    index = image + ops.cast(upper, "int32") * (columns + 1) + ops.cast(left, "int32")
    found = ops.take(ops.reshape(corners, (-1, 4 * channels)), index, axis=0)  # (batch, rows', columns', 4c)
    weights = ((1 - below) * (1 - right), (1 - below) * right, below * (1 - right), below * right)
    return sum(
        found[..., n * channels : (n + 1) * channels] * ops.expand_dims(weight, -1) for n, weight in enumerate(weights)
    )
