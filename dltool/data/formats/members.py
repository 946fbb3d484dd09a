"""Files in a folder or an archive, read in place or extracted once."""

from __future__ import annotations

import contextlib
import errno
import gzip
import hashlib
import io
import os
import shutil
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO

from dltool.errors.damage import DamagedFileError, undamaged

ARCHIVES = (".tar.gz", ".tgz", ".tar", ".zip")
_BLOCK = 512  # bytes; tar headers and data are padded to it
_JUNK = {"Thumbs.db", "desktop.ini", "__MACOSX"}


def files(path: Path) -> dict[str, Callable[[], bytes]]:
    """Return a reader of each regular file in a folder or archive, by name, sorted, without junk.

    A tar archive is unpacked into memory, which lives as long as the readers do.

    Raises:
        ValueError: if the archive is damaged.
    """
    if path.is_dir():
        found = {p.relative_to(path).as_posix(): p.read_bytes for p in path.rglob("*") if p.is_file()}
        return {name: found[name] for name in sorted(found) if not is_junk(name)}
    name = path.name.lower()
    with undamaged(path):
        if name.endswith(".zip"):
            archive = zipfile.ZipFile(path)
            found = {i.filename: partial(_read, path, archive, i) for i in archive.infolist() if not i.is_dir()}
        else:
            raw = path.read_bytes()
            zipped = not name.endswith(".tar")
            raw = gzip.decompress(raw) if zipped else raw
            view = memoryview(raw)
            index = _tar_index(raw, check_sums=not zipped)  # gzip has a sum of its own
            found = {n: partial(bytes, view[at : at + size]) for n, at, size in index}
    return {name: found[name] for name in sorted(found) if not is_junk(name)}


def _read(path: Path, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    """Return the bytes of a member.

    Raises:
        ValueError: it is damaged.
    """
    with undamaged(f"{path}/{info.filename}"):
        return archive.read(info)


def is_junk(name: str) -> bool:
    """Return whether a path within a dataset is a leftover of file managers: hidden, or of a known name."""
    if "/." not in name and name[:1] != "." and not any(junk in name for junk in _JUNK):
        return False  # the usual case of an archive of 50,000 images
    parts = [part for part in PurePosixPath(name).parts if part != ".."]  # which must be seen, and refused
    return any(part.startswith(".") or part in _JUNK for part in parts)


def tops(root: Path) -> Iterator[Path]:
    """Yield the folders that may hold a dataset: a folder, and while it holds a single folder, that one."""
    while True:
        yield root
        inner = [Path(entry.path) for entry in os.scandir(root) if entry.is_dir() and not is_junk(entry.name)]
        if len(inner) != 1:
            return
        (root,) = inner


class WholeTarInfo(tarfile.TarInfo):
    """A member of a tar archive that ends with its end mark: `tarfile` takes damage between members for the end."""

    @classmethod
    def fromtarfile(cls, file: tarfile.TarFile) -> tarfile.TarInfo:  # type: ignore[override]
        try:
            return super().fromtarfile(file)
        except tarfile.EOFHeaderError:  # type: ignore[attr-defined]
            raise
        except tarfile.HeaderError as error:
            raise tarfile.ReadError(f"no member nor the archive's end at byte {file.offset}: {error}") from error


def _tar_index(raw: bytes, check_sums: bool) -> list[tuple[str, int, int]]:
    """Return (name, offset, size) of the regular files in a tar archive.

    Archives of plain headers only are walked here, 10 times as fast as `tarfile` does.
    """
    index, at = [], 0
    while at + _BLOCK <= len(raw) and raw[at]:
        header = raw[at : at + _BLOCK]
        kind, prefix = header[156:157], header[345:346]
        digits = header[124:136].rstrip(b"\0 ")
        if check_sums and int(header[148:156].strip(b"\0 ") or b"0", 8) != sum(header) - sum(header[148:156]) + 256:
            break
        if kind not in b"05\0" or (header[257:262] == b"ustar" and prefix != b"\0") or not digits.isdigit():
            break
        size = int(digits, 8)
        if kind != b"5":
            index.append((header[:100].rstrip(b"\0").decode(errors="surrogateescape"), at + _BLOCK, size))
        at += _BLOCK + -(-size // _BLOCK) * _BLOCK
    else:
        if index and at < len(raw) and not raw[at : at + _BLOCK].strip(b"\0"):
            return index
    with tarfile.open(
        fileobj=io.BytesIO(raw), mode="r:", tarinfo=WholeTarInfo
    ) as archive:  # long names, links, or damage
        members = [(m.name, m.offset_data, m.size) for m in archive if m.isreg()]
    for name, offset, size in members:
        if offset + size > len(raw):
            raise EOFError(f"it ends within {name}")
    return members


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
