"""Shapes and types of the arrays in an .npz file, without reading the arrays."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path
from typing import IO

import numpy as np

from dltool.errors import first_line

_REMEDY = "fetch it again, or write it again with numpy.savez"


def headers(path: Path) -> dict[str, tuple[tuple[int, ...], np.dtype]]:
    """(shape, dtype) of each array of an .npz file, from the .npy headers inside the zip."""
    found = {}
    try:
        with zipfile.ZipFile(path) as archive:
            for info in archive.infolist():
                if info.filename.endswith(".npy"):
                    with archive.open(info) as member:
                        found[info.filename.removesuffix(".npy")] = _header(member)
    except (zipfile.BadZipFile, zlib.error, ValueError, EOFError, NotImplementedError) as error:
        raise ValueError(f"{path} is no readable .npz file ({first_line(error)}): {_REMEDY}.") from error
    return found


def array(path: Path, key: str) -> np.ndarray:
    """One array of an .npz file; never unpickles."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return arrays[key]
    except (zipfile.BadZipFile, zlib.error, ValueError, EOFError) as error:
        raise ValueError(f"{path}: the array '{key}' cannot be read ({first_line(error)}): {_REMEDY}.") from error


def _header(member: IO[bytes]) -> tuple[tuple[int, ...], np.dtype]:
    version = np.lib.format.read_magic(member)
    reader = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = reader(member)
    return shape, dtype
