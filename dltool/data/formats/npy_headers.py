"""Arrays of .npz and .npy files, and their shapes and types without reading the arrays."""

from __future__ import annotations

import math
import os
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO

import numpy as np

from dltool.errors.damage import undamaged

REMEDY = "fetch it again, or write it again with numpy.savez."
_NPY = ".npy"
_DEFLATE = 1032  # bytes that one compressed byte can stand for at most


def headers(path: Path) -> dict[str, tuple[tuple[int, ...], np.dtype]]:
    """Return (shape, dtype) of each array of an .npz file, from the .npy headers inside the zip.

    Raises:
        ValueError: the file is damaged; a header that promises more than the file can hold counts as damage.
    """
    found = {}
    with undamaged(path, REMEDY, "is no readable .npz file"), zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            if info.filename.endswith(_NPY):
                found[info.filename.removesuffix(_NPY)] = _member_header(archive, info)
    return found


def array(path: Path, key: str) -> np.ndarray:
    """Return one array of an .npz file; never unpickle, and check the sum of its bytes.

    Raises:
        ValueError: it is missing or damaged.
    """
    with undamaged(f"{path}: the array '{key}'", REMEDY, "cannot be read"), zipfile.ZipFile(path) as archive:
        return _read(archive, archive.getinfo(key + _NPY))


def arrays(path: Path, keys: Iterable[str] | None = None) -> dict[str, np.ndarray]:
    """Return arrays of an .npz file by name, as `array` reads them, by default all.

    Raises: whatever NumPy and `zipfile` raise on a damaged file.
    """
    with zipfile.ZipFile(path) as archive:
        names = [info.filename for info in archive.infolist()] if keys is None else [key + _NPY for key in keys]
        return {name.removesuffix(_NPY): _read(archive, archive.getinfo(name)) for name in names}


def single(path: Path) -> np.ndarray:
    """Return the array of an .npy file; never unpickle.

    Raises: whatever NumPy raises on a damaged file.
    """
    with open(path, "rb") as file:
        shape, dtype, _ = _header(file)
        _check_room(shape, dtype, os.fstat(file.fileno()).st_size - file.tell())
        file.seek(0)
        return np.lib.format.read_array(file, allow_pickle=False)


class ArrayStream:
    """The examples of an array in a file, read in their order, some at a time.

    Args:
        file: open, at the array's header.
        room: bytes that the array can take at most, checked where it is read whole.
    Raises:
        ValueError: the header is damaged, or is of Python objects.
    Limits: an array in Fortran's order is read whole.
    """

    def __init__(self, file: IO[bytes], room: int) -> None:
        self.shape, self.dtype, is_by_columns = _header(file)
        if self.dtype.hasobject:
            raise ValueError("it holds Python objects")
        self._file, self._left = file, self.shape[0] if self.shape else 0
        self._whole = None
        if is_by_columns and len(self.shape) > 1:
            _check_room(self.shape, self.dtype, room)
            self._whole = np.frombuffer(_bytes(file, math.prod(self.shape) * self.dtype.itemsize), self.dtype)
            self._whole = self._whole.reshape(self.shape, order="F")

    def read(self, size: int) -> np.ndarray:
        """Return the next examples, (size, ...) or those that are left.

        Raises: whatever reading raises; `ValueError` if the file holds more than the array.
        """
        size = min(size, self._left)
        self._left -= size
        if self._whole is not None:
            start = len(self._whole) - self._left - size
            return np.ascontiguousarray(self._whole[start : start + size])
        shape = (size, *self.shape[1:])
        found = np.frombuffer(_bytes(self._file, math.prod(shape) * self.dtype.itemsize), self.dtype).reshape(shape)
        if not self._left and self._file.read(1):  # also takes a member to its end, where its sum is checked
            raise ValueError("it holds more than its header promises")
        return found


@contextmanager
def streams(path: Path, keys: Sequence[str | None]) -> Iterator[list[ArrayStream]]:
    """Open arrays of an .npz file side by side, or the array None of an .npy file.

    Raises: whatever NumPy and `zipfile` raise on a damaged file.
    """
    with ExitStack() as stack:
        found = []
        archive = None if None in keys else stack.enter_context(zipfile.ZipFile(path))
        for key in keys:
            if archive is None:
                file: IO[bytes] = stack.enter_context(open(path, "rb"))
                room = os.fstat(file.fileno()).st_size
            else:
                info = archive.getinfo(f"{key}{_NPY}")
                file, room = stack.enter_context(archive.open(info)), _room(info)
            found.append(ArrayStream(file, room))
        yield found


def _bytes(file: IO[bytes], count: int) -> bytes:
    data = file.read(count)
    if len(data) < count:
        raise EOFError("it ends before its last example")
    return data


def _read(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> np.ndarray:
    _member_header(archive, info)
    with archive.open(info) as member:
        found = np.lib.format.read_array(member, allow_pickle=False)
        if member.read(1):  # also takes the member to its end, where its sum is checked
            raise ValueError("it holds more than its header promises")
    return found


def _member_header(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> tuple[tuple[int, ...], np.dtype]:
    with archive.open(info) as member:
        shape, dtype, _ = _header(member)
        _check_room(shape, dtype, _room(info))
    return shape, dtype


def _room(info: zipfile.ZipInfo) -> int:
    """Return how many bytes a member can hold at most."""
    return min(info.compress_size * (_DEFLATE if info.compress_type == zipfile.ZIP_DEFLATED else 1), info.file_size)


def _check_room(shape: tuple[int, ...], dtype: np.dtype, room: int) -> None:
    """Raise if a header promises more bytes than fit, before memory is allocated."""
    if min(shape, default=0) < 0 or (not dtype.hasobject and math.prod(shape) * dtype.itemsize > room):
        raise ValueError(f"its header promises an array {shape} of {dtype}, which it does not hold")


def _header(file: IO[bytes]) -> tuple[tuple[int, ...], np.dtype, bool]:
    """Return the shape, the type, and whether the order is Fortran's."""
    version = np.lib.format.read_magic(file)
    reader = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, is_by_columns, dtype = reader(file)
    return shape, dtype, is_by_columns
