"""Files in a folder or an archive, read in place without extracting."""

from __future__ import annotations

import gzip
import io
import tarfile
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path, PurePosixPath

from dltool.errors.damage import undamaged

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
