"""Archives extracted once into a cache folder, safely."""

from __future__ import annotations

import contextlib
import errno
import gzip
import hashlib
import os
import shutil
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO

from dltool.data.formats.members import WholeTarInfo, is_junk
from dltool.errors.damage import DamagedFileError, undamaged

_RESERVE = 64 * 2**20  # bytes of disk to leave free


def cache_folder() -> Path:
    """$DLTOOL_CACHE, else $XDG_CACHE_HOME/dltool, else ~/.cache/dltool."""
    own, xdg = os.environ.get("DLTOOL_CACHE"), os.environ.get("XDG_CACHE_HOME")
    return Path(own or (Path(xdg or "~/.cache") / "dltool")).expanduser()


def extracted(archive: Path) -> Path:
    """Return the folder with the files of `archive`, extracted at the first call.

    Archives are .zip, .tar, .tar.gz or .tgz.

    The folder is keyed by the archive's path, size and time of change, and appears whole or not at all.

    Raises:
        ValueError: if the archive is damaged, or a member is a link, a device or lies outside the archive.
        OSError: if the disk is too small or not writable.
    """
    stat = archive.stat()
    key = hashlib.sha256(f"{archive.resolve()}|{stat.st_size}|{stat.st_mtime_ns}".encode()).hexdigest()[:16]
    cache = cache_folder()
    target = cache / f"{archive.name.split('.')[0]}-{key}"
    if target.is_dir():
        return target
    cache.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=".extracting-", dir=cache))
    try:
        _extract(archive, work)
        work.chmod(0o755)  # mkdtemp makes it private
        try:
            work.rename(target)
        except OSError:
            if not target.is_dir():  # else another process was faster
                raise
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return target


def _extract(archive: Path, folder: Path) -> None:
    left = shutil.disk_usage(folder).free - _RESERVE
    with undamaged(archive), _members(archive) as members:
        for name, size, file in members:
            left -= size
            if left < 0:
                raise OSError(
                    errno.ENOSPC, f"{archive} does not fit on the disk of {folder.parent}: set DLTOOL_CACHE to another."
                )
            path = folder / _inside(archive, name)
            with file, _created(path, name) as out:
                shutil.copyfileobj(file, out)
            if path.stat().st_size != size:
                raise EOFError(f"it ends within {name}")


def _created(path: Path, name: str) -> IO[bytes]:
    """Return the new file of a member; a name that the system refuses is a fault of the archive."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return open(path, "xb")
    except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
        raise ValueError(f"it holds {name!r} twice") from error
    except OSError as error:
        if error.errno not in (errno.ENAMETOOLONG, errno.EILSEQ, errno.EINVAL):
            raise
        raise ValueError(f"it has a member of the name {name[:40]!r}...") from error


def _inside(archive: Path, name: str) -> PurePosixPath:
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or not path.parts or ":" in path.parts[0]:
        raise DamagedFileError(f"{archive}: the member {name!r} points outside the archive: do not trust it.")
    return path


@contextlib.contextmanager
def _members(archive: Path) -> Iterator[Iterator[tuple[str, int, IO[bytes]]]]:
    """Iterates (name, bytes, open file) over the regular files of an archive, without junk."""
    if archive.name.lower().endswith(".zip"):
        with zipfile.ZipFile(archive) as file:
            yield _zip_members(archive, file)
        return
    with open(archive, "rb") as raw:
        zipped = raw.read(2) == b"\x1f\x8b"
        raw.seek(0)
        source: IO[bytes] = gzip.GzipFile(fileobj=raw) if zipped else raw  # type: ignore[assignment]
        # a stream: one pass over a compressed archive; `tarfile`'s own gzip reader does not check the sum
        with tarfile.open(fileobj=source, mode="r|" if zipped else "r|*", tarinfo=WholeTarInfo) as file:
            yield _tar_members(archive, file)
            while source.read(_RESERVE // 64):  # up to the sum at the end
                pass


def _zip_members(archive: Path, file: zipfile.ZipFile) -> Iterator[tuple[str, int, IO[bytes]]]:
    for info in file.infolist():
        if (info.external_attr >> 28) == 0o12:  # the file type bits of a symbolic link
            raise DamagedFileError(f"{archive}: the member {info.filename!r} is a link: do not trust it.")
        if info.flag_bits & 1:
            raise DamagedFileError(f"{archive}: the member {info.filename!r} is encrypted: extract it first.")
        if not info.is_dir() and not is_junk(info.filename):
            yield info.filename, info.file_size, file.open(info)


def _tar_members(archive: Path, file: tarfile.TarFile) -> Iterator[tuple[str, int, IO[bytes]]]:
    for info in file:
        if info.isdir():
            continue
        if not info.isreg():
            raise DamagedFileError(f"{archive}: the member {info.name!r} is a link or device: do not trust it.")
        data = file.extractfile(info)
        if data and not is_junk(info.name):
            yield info.name, info.size, data
