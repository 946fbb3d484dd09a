"""Bytes as text; an error names file and line."""

from __future__ import annotations

import gzip
from pathlib import Path

from dltool.errors.damage import undamaged


def read(path: Path) -> str:
    """Return the text of a file, plain or gzipped (.gz); "\\r\\n" becomes "\\n", and nothing else ends a line.

    Raises:
        OSError: it can't be read.
        ValueError: it is no UTF-8, or no gzip file, in a line that names it.
    """
    data = path.read_bytes()
    if path.name.lower().endswith(".gz"):
        with undamaged(f"{path}:", "replace it.", "is no whole gzip file"):
            data = gzip.decompress(data)
    return decoded(data, str(path))


def decoded(data: bytes, name: str) -> str:
    """Return UTF-8 as text without a byte-order mark; "\\r\\n" becomes "\\n", and nothing else ends a line.

    Raises:
        ValueError: it is no UTF-8, in a line that says where.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1  # of what was decoded, without a byte-order mark
        byte = error.object[error.start]
        raise ValueError(f"{name}:{line}: is no UTF-8 (byte 0x{byte:02X}). Convert the file to UTF-8.") from error
    return text.replace("\r\n", "\n")
