"""CIFAR as class folders of 32 x 32 images, on disk or in an archive a part."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from dltool.data.formats import members, picture_formats

ORDER = "classes.txt"  # the file that lists classes in label order
_IMAGES = (".jpg", ".jpeg", ".png", ".bmp", ".gif")


def find(folder: Path, part: str) -> Path | None:
    """Return the folder `part` in `folder`, or the archive of that name, or None."""
    names = [part, *(part + end for end in members.ARCHIVES)]
    return next((folder / name for name in names if (folder / name).exists()), None)


def class_order(folder: Path, known: list[str]) -> list[str]:
    """Class names in label order: as classes.txt in `folder` has them, else as `known`."""
    listing = folder / ORDER
    if not listing.is_file():
        return known
    order = listing.read_text(encoding="utf-8").split()
    if sorted(order) != sorted(known):
        odd = sorted(set(order) ^ set(known)) or ["a repeated name"]
        raise ValueError(f"{listing} does not list the {len(known)} classes, see {odd[0]!r}: correct or remove it.")
    return order


def listing(place: Path, class_names: list[str]) -> list[tuple[int, str, Callable[[], bytes]]]:
    """Return (label, name, reader) of each image at `place`, by label, then name; decode nothing."""
    labels = {name: label for label, name in enumerate(class_names)}
    found = []
    for name, reader in members.files(place).items():
        label = labels.get(name.rpartition("/")[0].rpartition("/")[2])
        if label is not None:
            found.append((label, name, reader))
        elif PurePosixPath(name).suffix.lower() in _IMAGES:
            raise ValueError(f"{place}: the folder of {name} is none of the classes {', '.join(class_names[:10])}...")
    if not found:
        raise ValueError(f"{place} holds no images in class folders ({class_names[0]}/...): fetch it again.")
    return sorted(found, key=lambda item: item[:2])


def decode(place: Path, images: list[tuple[int, str, Callable[[], bytes]]]) -> np.ndarray:
    """Return the images, uint8 (n, 32, 32, 3).

    One thread: Pillow holds the interpreter's lock for most of so small an image; two were measured slower.
    """
    from PIL import Image

    Image.init()
    x = np.empty((len(images), 32, 32, 3), np.uint8)
    for i, (_, name, reader) in enumerate(images):
        try:
            data = reader()
            x[i] = np.frombuffer(_pixels(Image, data), np.uint8).reshape(32, 32, 3)
        except Exception as error:  # Pillow raises OSError, SyntaxError and more for damaged files
            raise ValueError(f"{place}: {name} is no readable 32 x 32 image ({error}): fetch it again.") from error
    return x


def _pixels(image_module: Any, data: bytes) -> bytes:
    """RGB bytes of an encoded image."""
    if data[:2] == b"\xff\xd8":
        try:  # straight to libjpeg: parsing headers in Python takes half of the time
            return image_module.frombytes("RGB", (32, 32), data, "jpeg", "RGB", "").tobytes()
        except ValueError:
            pass  # the general way gives the better error, and reads the rarer kinds of JPEG
    with picture_formats.opened(io.BytesIO(data)) as image:
        if image.size != (32, 32):
            raise ValueError(f"it is {image.size[1]} x {image.size[0]}")
        return image.convert("RGB").tobytes()
