"""IDX files, the format that MNIST came in: a big-endian header, then bytes.

    00 00 08 DD   two zeros, type (08 = unsigned byte), number of dimensions DD
    n1 n2 ...     size of each dimension, 4 bytes each, big-endian
    data          n1 * n2 * ... bytes

Reference: LeCun, Cortes, Burges, "The MNIST database of handwritten digits", 1998.
"""

from __future__ import annotations

import gzip
import math
import struct
from pathlib import Path
from typing import IO, cast

import numpy as np

from dltool.errors.damage import undamaged

_REMEDY = "fetch the file again"


def find(folder: Path, split: str, kind: str) -> Path | None:
    """Return the IDX file of a split and kind, or None.

    Splits are "train" and "t10k", kinds "images-idx3" and "labels-idx1".
    """
    for stem in (f"{split}-{kind}-ubyte", f"{split}-{kind.replace('-', '.')}-ubyte"):
        for suffix in ("", ".gz"):
            if (folder / (stem + suffix)).is_file():
                return folder / (stem + suffix)
    return None


def shape(path: Path, dimensions: int) -> tuple[int, ...]:
    """Return the shape of the array in an IDX file, from its header only."""
    with _open(path) as file:
        found = _header(path, file, dimensions)
    expected = 4 + 4 * dimensions + math.prod(found)
    if path.suffix != ".gz" and path.stat().st_size != expected:
        raise ValueError(f"{path} has {path.stat().st_size} bytes, its header promises {expected}: {_REMEDY}.")
    return found


def read(path: Path, dimensions: int) -> np.ndarray:
    """Return the uint8 array in an IDX file."""
    with _open(path) as file:
        found = _header(path, file, dimensions)
        with undamaged(path):
            data = file.read()
    if len(data) != math.prod(found):
        raise ValueError(f"{path} holds {len(data)} bytes of data, its header promises {math.prod(found)}: {_REMEDY}.")
    return np.frombuffer(data, np.uint8).reshape(found)


def _open(path: Path) -> IO[bytes]:
    return cast(IO[bytes], gzip.open(path, "rb")) if path.suffix == ".gz" else open(path, "rb")


def _header(path: Path, file: IO[bytes], dimensions: int) -> tuple[int, ...]:
    length = 4 + 4 * dimensions
    with undamaged(path, fault="is no readable gzip file"):
        head = file.read(length)
    magic = bytes([0, 0, 8, dimensions])
    if head[:4] != magic:
        raise ValueError(
            f"{path} is no IDX file of {dimensions}-dimensional bytes: it starts with "
            f"{head[:4].hex() or 'nothing'}, "
            f"expected {magic.hex()}: {_REMEDY}."
        )
    if len(head) < length:
        raise ValueError(f"{path} ends within its header: {_REMEDY}.")
    return struct.unpack(f">{dimensions}I", head[4:])
