"""A folder of pictures: which of its files dltool wrote, and how they are replaced, each whole or not at all."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dltool import __version__
from dltool.errors import UsageError
from dltool.output.files import announce, atomic, folder_made, is_below_file, writing
from dltool.output.ownership import listed, own_json

MANIFEST = "manifest.json"
KIND = "pictures"
OLD_KEYS = {"run", "mode", "options", "seed", "pictures", "files", "report"}  # of a manifest without a kind
OLD_FORMS = {".png": b"\x89PNG", ".gif": b"GIF8", ".html": b"<!DOCTYPE html>"}  # its files, by how they begin


def check_free(path: Path, overwrite: bool) -> None:
    """Raise unless pictures may be written at `path`; nothing is touched.

    Raises:
        UsageError: something is there and `overwrite` is off, or it is no folder of pictures.
    """
    try:
        if path.is_symlink() and not path.exists():
            raise UsageError(f"{path}: is a link to nothing. Give another --out.")
        if path.exists() and not path.is_dir():
            raise UsageError(f"{path}: is a file. Give another --out.")
        if is_below_file(path):
            raise UsageError(f"{path}: cannot be made below a file. Give another --out.")
        if not path.exists() or not any(path.iterdir()):
            return
    except PermissionError as error:
        raise UsageError(f"{error.filename}: no permission to look into it. Give another --out.") from error
    if not overwrite:
        raise UsageError(f"{path}: exists already. Use --overwrite to replace it, or another --out.")
    if _written(path) is None:
        raise UsageError(f"{path}: holds no pictures of visualize-filters, so --overwrite leaves it alone.")


def write_folder(path: Path, files: Mapping[str, bytes], manifest: Mapping[str, object]) -> None:
    """Put files and their manifest into the folder `path`, in the place of those that its manifest lists.

    The folder itself stays, which may be a link, a mount point or the working folder, and so do all other files.

    Raises:
        UsageError: a file of this name is there that dltool did not write; nothing was touched.
    """
    old = _written(path) or {}
    foreign = [name for name in (*files, MANIFEST) if _exists(path / name) and name not in {*old, MANIFEST}]
    if not old and _exists(path / MANIFEST) and _written(path) is None:
        foreign.append(MANIFEST)
    if foreign:
        raise UsageError(
            f"{path}: holds files that dltool did not write: {listed(foreign)}. Remove them, or give another --out."
        )
    announce([*old, *([MANIFEST] if _exists(path / MANIFEST) else [])], path)
    new = {name: _digest(content) for name, content in files.items()}
    with writing(path), folder_made(path):
        with tempfile.TemporaryDirectory(prefix=".dltool-", dir=path) as folder:  # whole before any is replaced
            for name, content in files.items():
                with atomic(Path(folder) / name) as file:
                    file.write(content)
            _write_manifest(path, manifest, [*dict.fromkeys([*old, *new])], _both(old, new))  # whatever stops it now
            for name in files:
                (Path(folder) / name).replace(path / name)
        for name in old.keys() - files.keys():
            (path / name).unlink(missing_ok=True)
        _write_manifest(path, manifest, list(files), {name: [digest] for name, digest in new.items()})


def remove(path: Path) -> None:
    """Remove the pictures that dltool wrote into a folder, and the folder if nothing else is in it."""
    written = _written(path)
    if written is None:
        return
    for name in (*written, MANIFEST):
        (path / name).unlink(missing_ok=True)
    if not path.is_symlink() and not any(path.iterdir()):
        path.rmdir()


def files_in(path: Path) -> list[str]:
    """Return the names of the files in a folder that dltool wrote as its pictures, the manifest last."""
    written = _written(path)
    return [] if written is None else [*written, MANIFEST]


def _written(path: Path) -> dict[str, str] | None:
    """Return the unchanged files of a folder of pictures, by name; None for other folders."""
    if (path / MANIFEST).is_symlink():
        return None
    held = own_json(path / MANIFEST, KIND)
    if held is None:
        return _written_before_kinds(path)
    digests = held.get("sha256")
    digests = digests if isinstance(digests, dict) else {}
    written = {}
    for name in filter(_is_plain, held["files"]):
        file = path / name
        if file.is_file() and not file.is_symlink() and (digest := _digest(file.read_bytes())) in digests.get(name, []):
            written[name] = digest
    return written


def _written_before_kinds(path: Path) -> dict[str, str] | None:
    """Return the same as `_written` for a manifest of earlier versions, without kind and digests."""
    try:
        held = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(held, dict) or held.keys() != OLD_KEYS or not isinstance(held["files"], list):
        return None
    written = {}
    for name in held["files"]:
        form = OLD_FORMS.get(Path(name).suffix) if isinstance(name, str) and _is_plain(name) else None
        file = path / str(name)
        if form is not None and file.is_file() and not file.is_symlink():
            content = file.read_bytes()
            if content[: len(form)].lower() == form.lower():
                written[name] = _digest(content)
    return written


def _write_manifest(
    path: Path, manifest: Mapping[str, object], names: list[str], digests: Mapping[str, list[str]]
) -> None:
    held: dict[str, Any] = {"dltool": __version__, "kind": KIND, **manifest, "files": names, "sha256": digests}
    with atomic(path / MANIFEST) as file:
        file.write((json.dumps(held, indent=2, ensure_ascii=False) + "\n").encode())


def _both(old: Mapping[str, str], new: Mapping[str, str]) -> dict[str, list[str]]:
    names = dict.fromkeys([*old, *new])
    return {name: [digests[name] for digests in (old, new) if name in digests] for name in names}


def _is_plain(name: str) -> bool:
    return Path(name).name == name and name not in ("", ".", "..", MANIFEST)


def _exists(path: Path) -> bool:
    return path.is_symlink() or path.exists()


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
