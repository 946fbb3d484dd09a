"""TensorFlow graph operations from the bytes of an image file to pixels of one size and colour mode."""

from __future__ import annotations

import functools
import io
from typing import TYPE_CHECKING, Any

import numpy as np

from dltool.data.formats import picture_formats

if TYPE_CHECKING:
    import tensorflow as tf

CHANNELS = {"grayscale": 1, "rgb": 3, "rgba": 4}
MODES = {"grayscale": "L", "rgb": "RGB", "rgba": "RGBA"}  # as Pillow calls them
INTERPOLATIONS = (
    "bilinear",
    "nearest",
    "bicubic",
    "area",
    "lanczos3",
    "lanczos5",
    "gaussian",
    "mitchellcubic",
)


def decode(
    data: tf.Tensor,
    image_size: tuple[int, int] | None,
    color_mode: str,
    interpolation: str,
    crop: bool,
    is_rare: tf.Tensor | None = None,
) -> tf.Tensor:
    """Return pixels uint8 (rows, columns, channels) of an encoded image (first frame of an animation).

    Resizing is that of keras.utils.image_dataset_from_directory, rounded to uint8; an image that has the size stays
    unchanged, as does each one where `image_size` is None. With `crop`, the middle of the image in the target's aspect
    ratio is resized.

    Args:
        is_rare: bool (): whether TensorFlow decodes this image differently from Pillow; Pillow then decodes it, one
            image at a time. None means no image is rare.
    """
    import tensorflow as tf

    def common() -> tf.Tensor:
        return tf.cond(
            tf.io.is_jpeg(data),
            # the accurate transform gives the pixels that libjpeg and Pillow give
            lambda: tf.io.decode_jpeg(data, dct_method="INTEGER_ACCURATE"),
            lambda: tf.io.decode_image(data, expand_animations=False),
        )

    def rare() -> tf.Tensor:
        return tf.numpy_function(functools.partial(pillow_pixels, color_mode=color_mode), [data], tf.uint8)

    image = common() if is_rare is None else tf.cond(is_rare, rare, common)
    image.set_shape((None, None, None))
    image = _convert(image, color_mode)  # (h, w, channels)
    if image_size is None:
        return image
    if crop:
        image = _crop(image, image_size)
    same = tf.reduce_all(tf.shape(image)[:2] == tf.constant(image_size))
    image = tf.cond(same, lambda: image, lambda: _resize(image, image_size, interpolation))
    image.set_shape((*image_size, CHANNELS[color_mode]))
    return image


def pillow_pixels(data: Any, color_mode: str) -> np.ndarray:
    """Return pixels uint8 (rows, columns, channels) of an encoded image as Pillow decodes it."""
    data = data if isinstance(data, bytes) else data.item()  # outside of a graph TensorFlow gives an array
    with picture_formats.opened(io.BytesIO(data)) as image:
        pixels = np.asarray(image.convert(MODES[color_mode]))
    return pixels.reshape(*pixels.shape[:2], CHANNELS[color_mode])


def _convert(image: tf.Tensor, color_mode: str) -> tf.Tensor:
    """Convert 1 (grey), 2 (grey, alpha), 3 (RGB) or 4 (RGBA) channels to those of `color_mode`. Alpha is cut off."""
    import tensorflow as tf

    channels = tf.shape(image)[2]
    alphas = 1 - channels % 2
    color = image[..., : channels - alphas]  # (h, w, 1 or 3)
    grey = tf.shape(color)[2] == 1
    if color_mode == "grayscale":
        color = tf.cond(grey, lambda: color, lambda: _luma(color))
    else:
        color = tf.cond(grey, lambda: tf.repeat(color, 3, axis=2), lambda: color)
    if color_mode == "rgba":
        alpha = tf.cond(
            alphas == 1,
            lambda: image[..., -1:],
            lambda: tf.fill(tf.shape(color[..., :1]), tf.constant(255, tf.uint8)),
        )
        color = tf.concat([color, alpha], axis=2)
    return color


def _luma(color: tf.Tensor) -> tf.Tensor:
    """Return Y = 0.299 R + 0.587 G + 0.114 B (ITU-R BT.601), in Pillow's fixed-point arithmetic."""
    import tensorflow as tf

    weights = tf.constant([19595, 38470, 7471], tf.int32)  # the factors times 2^16
    total = tf.reduce_sum(tf.cast(color, tf.int32) * weights, axis=2, keepdims=True) + 2**15
    return tf.cast(total // 2**16, tf.uint8)


def _crop(image: tf.Tensor, image_size: tuple[int, int]) -> tf.Tensor:
    """Return the largest centred window of the target's aspect ratio, as Keras cuts it."""
    import tensorflow as tf

    rows, columns = image_size
    height, width = tf.shape(image)[0], tf.shape(image)[1]
    h = tf.minimum(height, width * rows // columns)
    w = tf.minimum(width, height * columns // rows)
    top, left = (height - h) // 2, (width - w) // 2
    return image[top : top + h, left : left + w]


def _resize(image: tf.Tensor, image_size: tuple[int, int], interpolation: str) -> tf.Tensor:
    import tensorflow as tf

    image = tf.cast(tf.image.resize(image, image_size, method=interpolation), tf.float32)
    return tf.cast(tf.clip_by_value(tf.round(image), 0.0, 255.0), tf.uint8)
