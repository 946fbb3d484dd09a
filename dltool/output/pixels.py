"""Numbers as pixels: images in the data's range, kernels about grey, features from black."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

GAP = 1  # pixels between the channels of an image that is neither grey nor coloured


@dataclass(frozen=True)
class PixelRange:
    """The values that the data's pixels take, shown from black to white.

    Args:
        low, high: of all channels.
        mean: of each channel, (channels,).
        norm: the mean over images of |x - mean|, of a whole image.
    """

    low: float
    high: float
    mean: np.ndarray
    norm: float

    @classmethod
    def of(cls, images: np.ndarray) -> PixelRange:
        """Return the range of examples (n, ..., channels), least to largest value; for bytes 0 to 255.

        Bytes may come as floats; small whole numbers, such as 0 to 16, are no bytes.
        """
        values = images.astype(np.float32)
        low, high = float(values.min()), float(values.max())
        if low >= 0 and 128 <= high <= 255:
            low, high = 0.0, 255.0
        mean = values.mean(axis=tuple(range(values.ndim - 1)))
        norm = float(np.sqrt(np.square(values - mean).reshape(len(values), -1).sum(axis=1)).mean())
        return cls(low, high if high > low else low + 1.0, mean, norm)

    @property
    def extent(self) -> float:
        return self.high - self.low


def shown(image: np.ndarray, pixels: PixelRange) -> np.ndarray:
    """Return an image (rows, columns, channels), or a signal (positions, channels), as uint8 (rows, columns[, 3]).

    Values outside the range are cut. One channel is grey, three are colours; others lie next to each other. A signal is
    drawn with one row per channel.
    """
    scaled = np.clip((image - pixels.low) / pixels.extent, 0, 1)
    return _laid_out(np.rint(255 * scaled).astype(np.uint8))


def signed(kernel: np.ndarray, limit: float) -> np.ndarray:
    """Map values from -limit (black) over 0 (grey) to limit (white), uint8 of the same shape."""
    scaled = np.clip(kernel / limit if limit > 0 else np.zeros_like(kernel), -1, 1)
    return np.rint(127.5 + 127.5 * scaled).astype(np.uint8)


def unsigned(features: np.ndarray, low: float, high: float) -> np.ndarray:
    """Map values from low (black) to high (white), uint8 of the same shape."""
    scaled = (features - low) / (high - low) if high > low else np.zeros_like(features)
    return np.rint(255 * np.clip(scaled, 0, 1)).astype(np.uint8)


def _laid_out(image: np.ndarray) -> np.ndarray:
    if image.ndim == 2:
        return image.T  # (channels, positions)
    channels = image.shape[-1]
    if channels == 1:
        return image[..., 0]
    if channels == 3:
        return image
    between = np.full((image.shape[0], GAP), 255, np.uint8)
    parts = [part for index in range(channels) for part in (between, image[..., index])]
    return np.concatenate(parts[1:], axis=1)
