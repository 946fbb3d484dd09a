"""Image files as a model's inputs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from dltool.visualization.pixels import PixelRange

MODES = {1: ("L", "grey"), 3: ("RGB", "colour"), 4: ("RGBA", "colour with transparency")}
GREY = ("1", "L", "LA", "I", "I;16", "F")


def read_images(paths: Sequence[Path], shape: Sequence[int | None], pixels: PixelRange) -> np.ndarray:
    """Images in the model's own pixels, float32 (n, *shape).

    Bytes of a PNG, JPEG, ... become the data's range; the numbers of an .npy file, one image each, are taken as they
    are, with any number of channels.

    Args:
        shape: of the model's input; None where any size will do.
    Raises:
        ValueError: a file that is no image, or one of another size or number of channels.
    """
    read = [_array(path) if path.suffix == ".npy" else _picture(path, shape, pixels) for path in paths]
    for path, image in zip(paths, read, strict=True):
        fits = len(image.shape) == len(shape) and all(b in (None, a) for a, b in zip(image.shape, shape, strict=True))
        if not fits:
            sizes = " x ".join("any" if size is None else str(size) for size in shape)
            given = " x ".join(map(str, image.shape))
            raise ValueError(
                f"{path}: is {given}, the model takes {sizes} (rows, columns, channels). Change the image."
            )
        if image.shape != read[0].shape:
            raise ValueError(f"{path}: is of another size than {paths[0]}. Show them one after the other.")
    return np.stack(read)


def _array(path: Path) -> np.ndarray:
    try:
        return np.load(path, allow_pickle=False).astype(np.float32)
    except (OSError, ValueError) as error:
        raise ValueError(f"{path}: is no readable .npy file ({error}).") from error


def _picture(path: Path, shape: Sequence[int | None], pixels: PixelRange) -> np.ndarray:
    from PIL import Image, UnidentifiedImageError

    channels = shape[-1]
    if channels not in MODES:
        raise ValueError(f"{path}: the model's images have {channels} channels: give them as .npy files.")
    mode, word = MODES[channels]
    try:
        with Image.open(path) as image:
            if (image.mode in GREY) != (channels == 1):
                kind = "grey" if image.mode in GREY else "coloured"
                raise ValueError(f"{path}: is {kind}, the model takes {word} images ({channels} channels). Convert it.")
            array = np.asarray(image.convert(mode), np.float32)
    except UnidentifiedImageError as error:
        raise ValueError(f"{path}: is no image that Pillow can read.") from error
    except FileNotFoundError as error:
        raise ValueError(f"{path}: does not exist.") from error
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({error}).") from error
    return pixels.low + array.reshape(*array.shape[:2], channels) / 255 * pixels.extent
