"""The edge where files are read: whatever a reader raises there is about the file."""

from __future__ import annotations

import errno
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dltool.errors import DataError, DltoolError, first_line

DISK = (errno.ENOSPC, errno.EDQUOT)


class DamagedFileError(DataError, ValueError):
    """A file that cannot be read: cut short, damaged, or not of the kind that it should be."""


@contextmanager
def undamaged(
    file: Path | str, remedy: str = "fetch the file again.", fault: str = "is cut short or damaged"
) -> Iterator[None]:
    """Turn every exception of a reader into one line that names the file.

    Readers raise dozens of kinds on damaged bytes (`zlib.error`, `struct.error`, `tokenize.TokenError`, ...), so this
    catches all of them: put only the reading of foreign bytes inside the block. Errors of dltool itself, and those of
        the
    system about a path, pass unchanged.

    Args:
        file: for the message, a path or a member of one.
        remedy: what to do, the end of the message: a sentence if it begins with a capital letter.
        fault: what to say of the file before the reader's own words.
    Raises:
        DamagedFileError: the block raised.
    """
    end = f"{'.' if remedy[:1].isupper() else ':'} {remedy}"
    try:
        yield
    except DltoolError:
        raise
    except MemoryError as error:
        raise DamagedFileError(f"{file} {fault} (it asks for more memory than there is){end}") from error
    except Exception as error:
        if isinstance(error, OSError) and (error.filename is not None or error.errno in DISK):
            raise
        raise DamagedFileError(f"{file} {fault} ({_words(error)}){end}") from error


def check_sums(archive: Path) -> None:
    """Read all of a zip archive, which raises where bytes are not those that its sums are of."""
    with zipfile.ZipFile(archive) as file:
        for info in file.infolist():
            with file.open(info) as member:
                while member.read(1 << 20):
                    pass


def _words(error: Exception) -> str:
    """Return the first line of an exception's message; name the key of a `KeyError`."""
    said = first_line(error)
    if isinstance(error, KeyError):
        return f"it has no {said}"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return said
