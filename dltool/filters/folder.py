"""A folder of pictures that appears whole or not at all."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from dltool.errors import UsageError
from dltool.runs import writing

MANIFEST = "manifest.json"


def check_free(path: Path, overwrite: bool) -> None:
    """Raise unless pictures may be written at `path`; nothing is touched.

    Raises:
        UsageError: something is there and `overwrite` is off, or it is no folder of pictures.
    """
    if path.exists() and not path.is_dir():
        raise UsageError(f"{path}: is a file. Give another --out.")
    if any(parent.exists() and not parent.is_dir() for parent in path.absolute().parents):
        raise UsageError(f"{path}: cannot be made below a file. Give another --out.")
    if not path.exists() or not any(path.iterdir()):
        return
    if not overwrite:
        raise UsageError(f"{path}: exists already. Use --overwrite to replace it, or another --out.")
    if not (path / MANIFEST).is_file():
        raise UsageError(f"{path}: holds no pictures of visualize-filters, so --overwrite leaves it alone.")


def write_folder(path: Path, files: Mapping[str, bytes], manifest: Mapping[str, object]) -> None:
    """Write the files and the manifest beside `path`, then put them in its place.

    Of a folder that is there only the files its manifest lists are replaced; others stay.
    """
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        new = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
        try:
            new.chmod(0o777 & ~_umask())
            for name, content in files.items():
                (new / name).write_bytes(content)
            text = json.dumps({**manifest, "files": list(files)}, indent=2, ensure_ascii=False) + "\n"
            (new / MANIFEST).write_text(text, encoding="utf-8")
            if path.exists():
                for name in _listed(path):
                    (path / name).unlink(missing_ok=True)
                for kept in path.iterdir():
                    if not (new / kept.name).exists():
                        kept.replace(new / kept.name)
                shutil.rmtree(path)
            new.replace(path)
        except BaseException:
            shutil.rmtree(new, ignore_errors=True)
            raise


def _listed(path: Path) -> list[str]:
    """Files of an earlier writing, plain names only."""
    try:
        names = json.loads((path / MANIFEST).read_text(encoding="utf-8"))["files"]
    except (OSError, ValueError, KeyError, TypeError):
        names = []
    return [MANIFEST, *(name for name in names if isinstance(name, str) and Path(name).name == name)]


def _umask() -> int:
    import os

    mask = os.umask(0)
    os.umask(mask)
    return mask
