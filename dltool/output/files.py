"""Files that appear whole or not at all, and what to do where the system refuses to write them."""

from __future__ import annotations

import csv
import errno
import io
import os
import re
import stat
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from dltool.errors import DltoolError, UsageError, messages
from dltool.errors.control_characters import visible
from dltool.output.ownership import is_output, marked

PICTURES = (".png", ".svg")
TEMPORARY = re.compile(r"\.dltool-\w+\.(?:tmp|keras)")  # a file that is not whole yet
STREAMS = {"/dev/stdout": 1, "/dev/stderr": 2}
DESCRIPTOR = re.compile(r"/(?:dev|proc/self)/fd/(\d+)")


def check_target(
    option: str, path: Path | None, overwrite: bool, endings: Sequence[str] = (), inputs: Sequence[Path] = ()
) -> None:
    """Raise if what an option writes can't go to `path`; before anything is computed.

    A stream or a character device (/dev/stdout, /dev/null) is written to and never replaced.

    Args:
        path: None: the option was not given.
        overwrite: whether a file may be replaced that dltool wrote; any other never is.
        endings: those that its format allows; by default any.
        inputs: files that the command reads, and folders whose files it reads.
    Raises:
        UsageError: another ending, a folder, a link, a file that is there and not to be overwritten or of the user,
            an input, or below a file.
    """
    if path is None:
        return
    if endings and path.suffix.lower() not in endings:
        raise UsageError(f"{option} {path}: must end in {' or '.join(endings)}.")
    try:
        if path.is_dir():
            raise UsageError(f"{option} {path}: is a folder. Give a file.")
        if _descriptor(path) is not None or _is_device(path):
            return
        if path.is_symlink():
            raise UsageError(f"{option} {path}: is a link to {path.readlink()}. Give the file itself.")
        exists = path.exists()
        if exists and not path.is_file():
            raise UsageError(f"{option} {path}: is no regular file. Give another place.")
        if exists and not overwrite:
            raise UsageError(f"{option} {path}: exists already. Use --overwrite to replace it.")
        if is_below_file(path):
            raise UsageError(f"{option} {path}: cannot be made below a file. Give another place.")
    except PermissionError as error:
        raise UsageError(f"{option} {path}: no permission to look there. Give another place.") from error
    if exists and any(_is_within(path, one) for one in inputs):
        raise UsageError(f"{option} {path}: is among what the command reads. Give another place.")
    if exists and not path.stat().st_mode & 0o222:
        raise UsageError(f"{option} {path}: is read-only. Give another name.")
    if exists and not is_output(path):
        why = "was not written by dltool, so --overwrite leaves it alone"
        raise UsageError(f"{option} {path}: {why}. Remove it, or give another name.")


def is_below_file(path: Path) -> bool:
    """Return whether a path can't be made, because something above it is there and no folder."""
    above = path.absolute().parents
    return any((one.exists() or one.is_symlink()) and not one.is_dir() for one in above)


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
    """Open a file that appears at `path` whole at the block's end, or not at all if it raises."""
    with writing(path), folder_made(path.parent):
        descriptor, temporary = tempfile.mkstemp(prefix=".dltool-", suffix=".tmp", dir=path.parent)
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


@contextmanager
def output(path: Path) -> Iterator[BinaryIO]:
    """Open an option's output file, checked by `check_target` before.

    It is `atomic`, and marked as dltool's if its form allows.

    One line on stderr names a file before it is replaced.
    """
    content = io.BytesIO()
    yield content
    descriptor = _descriptor(path)
    if descriptor is not None or _is_device(path):
        with writing(path), open(path if descriptor is None else os.dup(descriptor), "wb") as stream:
            stream.write(content.getvalue())
        return
    if path.exists():
        announce([str(path)])
    with atomic(path) as file:
        file.write(marked(content.getvalue(), path.suffix))


def announce(names: Sequence[str], folder: Path | None = None) -> None:
    """Write one line on stderr that names files, before they are replaced or removed.

    Args:
        folder: where they are.
    """
    if names:
        where = "" if folder is None else f"{folder}: "
        messages.say(visible(f"{where}replacing {', '.join(names)}"))


@contextmanager
def folder_made(path: Path) -> Iterator[None]:
    """Make a folder with those above it; if the block raises, those made that are empty go away."""
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    path.mkdir(parents=True, exist_ok=True)
    try:
        yield
    except BaseException:
        remove_empty(missing)
        raise


def remove_empty(folders: Sequence[Path]) -> None:
    """Remove folders, the innermost first, up to the first that holds something."""
    for folder in folders:
        try:
            folder.rmdir()
        except OSError:
            return


def write_rows(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write rows as CSV, the columns in the order in which they first appear."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    lines: list[str] = []
    writer = csv.DictWriter(_Lines(lines), columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    with atomic(path) as file:
        file.write("".join(lines).encode())


def _descriptor(path: Path) -> int | None:
    """Return the number of the open file that a path such as /dev/stdout stands for."""
    match = DESCRIPTOR.fullmatch(str(path))
    return int(match[1]) if match else STREAMS.get(str(path))


def _is_device(path: Path) -> bool:
    """Return whether a path is a device that takes bytes, such as /dev/null."""
    try:
        return stat.S_ISCHR(path.stat().st_mode)
    except OSError:
        return False


def _is_within(path: Path, place: Path) -> bool:
    """Return whether a path is a file or lies in a folder, links followed."""
    return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(place))


class _Lines:
    def __init__(self, lines: list[str]) -> None:
        self.write = lines.append


def _number(error: OSError) -> int | None:
    """Return the system's error number; HDF5 gives it only in words."""
    match = re.search(r"errno = (\d+)", str(error))
    return error.errno or (int(match[1]) if match else None)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
