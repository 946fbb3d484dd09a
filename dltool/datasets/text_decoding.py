"""Bytes as text; what is no UTF-8 is told with file and line."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path


def read(path: Path) -> str:
    """The text of a file, plain or gzipped (.gz); line ends become "\\n".

    Raises:
        OSError: it can't be read.
        ValueError: it is no UTF-8, or no gzip file, in a line that names it.
    """
    data = path.read_bytes()
    if path.name.endswith(".gz"):
        try:
            data = gzip.decompress(data)
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise ValueError(f"{path}: is no whole gzip file ({error}). Replace it.") from error
    return decoded(data, str(path))


def decoded(data: bytes, name: str) -> str:
    """UTF-8 as text, a byte-order mark left out; line ends become "\\n".

    Raises:
        ValueError: it is no UTF-8, in a line that says where.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1  # of what was decoded, without a byte-order mark
        byte = error.object[error.start]
        raise ValueError(f"{name}:{line}: is no UTF-8 (byte 0x{byte:02X}). Convert the file to UTF-8.") from error
    return text.replace("\r\n", "\n").replace("\r", "\n")
