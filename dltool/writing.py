"""Files that appear whole or not at all, and what to do where the system refuses to write them."""

from __future__ import annotations

import csv
import errno
import os
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from dltool.errors import DltoolError, UsageError

PICTURES = (".png", ".svg")


def check_target(option: str, path: Path | None, overwrite: bool, endings: Sequence[str] = ()) -> None:
    """Raise if what an option writes can't go to `path`; before anything is computed.

    Args:
        path: None: the option was not given.
        endings: those that its format allows; by default any.
    Raises:
        UsageError: another ending, a folder, a file that is there and not to be overwritten, or below a file.
    """
    if path is None:
        return
    if endings and path.suffix.lower() not in endings:
        raise UsageError(f"{option} {path}: must end in {' or '.join(endings)}.")
    if path.is_dir():
        raise UsageError(f"{option} {path}: is a folder. Give a file.")
    if path.exists() and not overwrite:
        raise UsageError(f"{option} {path}: exists already. Use --overwrite to replace it.")
    if any(parent.exists() and not parent.is_dir() for parent in path.absolute().parents):
        raise UsageError(f"{option} {path}: cannot be made below a file. Give another place.")


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn what the system says while writing into one line."""
    try:
        yield
    except OSError as error:
        remedy = {
            errno.ENOSPC: "The disk is full: free some space.",
            errno.EDQUOT: "The disk quota is used up: free some space.",
            errno.EACCES: "Give another place or change its permissions.",
            errno.EROFS: "The file system is read-only: give another place.",
        }.get(_number(error) or 0, "")
        said = error.strerror or str(error).strip().partition("\n")[0]
        raise DltoolError(f"{path}: cannot be written: {said}. {remedy}".rstrip()) from error


@contextmanager
def atomic(path: Path) -> Iterator[BinaryIO]:
    """A file that appears at `path` whole when the block ends, or not at all when it raises."""
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            with os.fdopen(descriptor, "wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            Path(temporary).chmod(0o666 & ~_umask())
            Path(temporary).replace(path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise


def write_rows(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Rows as CSV, the columns in the order in which they first appear."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    lines: list[str] = []
    writer = csv.DictWriter(_Lines(lines), columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    with atomic(path) as file:
        file.write("".join(lines).encode())


class _Lines:
    def __init__(self, lines: list[str]) -> None:
        self.write = lines.append


def _number(error: OSError) -> int | None:
    """The system's error number; HDF5 gives it only in words."""
    match = re.search(r"errno = (\d+)", str(error))
    return error.errno or (int(match[1]) if match else None)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
