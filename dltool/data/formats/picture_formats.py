"""Pictures of strangers, opened by Pillow's own decoders alone."""

from __future__ import annotations

import functools
from typing import Any

# Not EPS, for which Pillow starts Ghostscript on the file, nor formats that hand the file to other programs' readers.
FORMATS = ("JPEG", "PNG", "BMP", "DIB", "GIF", "PPM", "TIFF", "WEBP", "MPO", "ICO", "TGA", "PCX", "SGI", "JPEG2000",
           "AVIF")  # fmt: skip


def opened(file: Any) -> Any:
    """Return Pillow's image of a path or a stream, whatever its suffix.

    Raises:
        PIL.UnidentifiedImageError: it has none of the known formats.
    """
    from PIL import Image

    return Image.open(file, formats=_known())


@functools.cache
def _known() -> tuple[str, ...]:
    """Return the formats that this Pillow was built with."""
    from PIL import Image

    Image.init()
    return tuple(name for name in FORMATS if name in Image.OPEN)
