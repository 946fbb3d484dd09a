"""Image files as a model's inputs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dltool.data.formats import npy_headers, picture_formats
from dltool.errors.damage import undamaged
from dltool.output.pixels import PixelRange

MODES = {1: ("L", "grey"), 3: ("RGB", "colour"), 4: ("RGBA", "colour with transparency")}
GREY = ("1", "L", "LA", "I", "I;16", "I;16B", "I;16L", "F")


def read_images(paths: Sequence[Path], shape: Sequence[int | None], pixels: PixelRange) -> np.ndarray:
    """Return images in the model's own pixels, float32 (n, *shape).

    A PNG, JPEG or similar file, of 8 or 16 bits, is scaled to the data's range; the numbers of an .npy file, one image
    each, stay unchanged, with any number of channels.

    Args:
        shape: of the model's input; None if any size will do.
    Raises:
        ValueError: a file that is no image, holds several or transparent pixels, or one of another size or number of
            channels.
    """
    for path in paths:
        if path.exists() and not path.is_file():
            raise ValueError(f"{path}: is no file. Give an image.")
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
        with undamaged(f"{path}:", "give another.", "is no readable .npy file"):
            array = npy_headers.single(path)
    except OSError as error:
        raise ValueError(f"{path}: is no readable .npy file ({error.strerror}).") from error
    if array.dtype.kind not in "buif":
        raise ValueError(f"{path}: holds {array.dtype}, the model takes real numbers.")
    if not np.isfinite(array).all():
        raise ValueError(f"{path}: holds NaN or infinite numbers. Replace them.")
    return array.astype(np.float32)


def _picture(path: Path, shape: Sequence[int | None], pixels: PixelRange) -> np.ndarray:
    channels = shape[-1]
    if channels not in MODES:
        raise ValueError(f"{path}: the model's images have {channels} channels: give them as .npy files.")
    mode, word = MODES[channels]
    image = _opened(path)
    palette = image.mode in ("P", "PA")  # of either kind, by its colours
    grey = image.mode in GREY or (palette and channels == 1 and _is_grey(image))
    if grey != (channels == 1):
        kind = "grey" if grey else "coloured"
        raise ValueError(f"{path}: is {kind}, the model takes {word} images ({channels} channels). Convert it.")
    if mode != "RGBA" and image.has_transparency_data and np.asarray(image.convert("RGBA"))[..., 3].min() < 255:
        raise ValueError(f"{path}: has transparent pixels, which the model does not know. Flatten the image.")
    if image.mode.startswith("I;16"):
        share = np.asarray(image).astype(np.float32) / 65535
    elif image.mode in ("I", "F"):
        raise ValueError(f"{path}: holds 32-bit numbers, whose range is not known: give them as an .npy file.")
    else:
        share = np.asarray(image.convert(mode), np.float32) / 255
    return pixels.low + share.reshape(*share.shape[:2], channels) * pixels.extent


def _opened(path: Path) -> Any:
    """Return the one picture of a file."""
    from PIL import UnidentifiedImageError

    try:
        with picture_formats.opened(path) as image:
            # a camera's MPO is a JPEG with further views of the same
            frames = 1 if image.format == "MPO" else getattr(image, "n_frames", 1)
            image.load()
    except UnidentifiedImageError as error:
        raise ValueError(f"{path}: is no image that Pillow can read.") from error
    except FileNotFoundError as error:
        raise ValueError(f"{path}: does not exist.") from error
    except Exception as error:  # Pillow raises many kinds on broken files
        raise ValueError(f"{path}: cannot be read ({error}).") from error
    if frames > 1:
        raise ValueError(f"{path}: holds {frames} pictures. Save the one that is meant.")
    return image


def _is_grey(image: Any) -> bool:
    colours = np.asarray(image.convert("RGB"))
    return bool((colours == colours[..., :1]).all())
