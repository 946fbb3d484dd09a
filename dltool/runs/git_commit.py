"""The commit that a folder's git repository has checked out, read from its files.

Git itself is never run: it would do what the repository's configuration says, which may be a stranger's, such as to
start a program that watches its files (`core.fsmonitor`).

Reference: gitrepository-layout(5).
"""

from __future__ import annotations

import re
from pathlib import Path

SHORT = 4096  # bytes read of a file of one line
PACKED = 2**24  # bytes read of packed-refs
LINKS = 5  # symbolic references followed
COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")  # SHA-1 or SHA-256
REFERENCE = re.compile(r"refs/[^\x00-\x20\x7f~^:?*\[\\]+")


def commit(folder: Path) -> str | None:
    """Return the commit of the repository around a folder, None if there is none or it can't be read."""
    try:
        folder = folder.resolve()
        for place in (folder, *folder.parents):
            if (git := place / ".git").exists():
                return _checked_out(_repository(git))
    except (OSError, RuntimeError, ValueError):  # no permission; a loop of links; a path with a null
        pass
    return None


def _repository(git: Path) -> Path:
    """Return the folder of a repository's files; in a worktree or submodule `.git` is a file that names it."""
    if git.is_dir():
        return git
    return git.parent / _read(git).removeprefix("gitdir:").strip()


def _checked_out(repository: Path) -> str | None:
    common = repository / _read(repository / "commondir") if (repository / "commondir").is_file() else repository
    text = _read(repository / "HEAD")
    for _ in range(LINKS):
        if COMMIT.fullmatch(text):
            return text
        name = text.removeprefix("ref:").strip()
        if not REFERENCE.fullmatch(name) or ".." in name:
            return None
        text = _read(repository / name) or _read(common / name) or _packed(common, name)
    return None


def _packed(repository: Path, name: str) -> str:
    for line in _read(repository / "packed-refs", PACKED).splitlines():
        value, _, reference = line.partition(" ")
        if reference == name:
            return value
    return ""


def _read(path: Path, most: int = SHORT) -> str:
    """Return a file's text, "" if it is no file; a pipe is never waited for."""
    if not path.is_file():
        return ""
    with path.open("rb") as file:
        return file.read(most).decode("utf-8", "replace").strip()
