"""Facts of data that are kept between commands, so that files which have not changed are not counted again.

An entry is a small text file in the user's cache folder, named after all that its facts depend on: dltool's version
and code, the dataset's arguments, and path, size and times of every file. Whatever is wrong with the folder or an
entry, the facts are found anew: the cache never decides whether a command works.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import json
import os
import stat
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from dltool import __version__
from dltool.data.formats.members import cache_folder

SWITCH = "DLTOOL_FACTS_CACHE"  # "off": nothing is kept
MOST_ENTRIES = 200
LARGEST_ENTRY = 2**18  # bytes
RECENT = 2.0  # seconds: a file changed so lately may change again without another time of change
CODE = ("data", "library/datasets", "recipe/data.py")  # of dltool: what facts are found by
LIBRARIES = ("numpy", "pandas", "pyarrow", "sentencepiece", "num2words")  # with which another version may count another
TUPLE = "tuple of"  # key of what JSON would make a list


class Entry:
    """The facts kept of some files as they are now.

    Args:
        described: what else the facts depend on, as plain data.
        files: files, and folders with all that is in them.
    """

    def __init__(self, described: Mapping[str, Any], files: Sequence[Path]) -> None:
        self._described, self._files = described, files
        self._name, _ = self._state()

    def read(self) -> dict[str, Any]:
        """The facts kept, empty where there are none or the entry is damaged."""
        if self._name is None:
            return {}
        text = kept_text(f"facts/{self._name}", LARGEST_ENTRY)
        try:
            facts = json.loads(text, object_hook=_unpacked) if text else {}
        except (ValueError, RecursionError):  # the last where lists nest too deep
            return {}
        return facts if isinstance(facts, dict) else {}

    def write(self, facts: Mapping[str, Any]) -> None:
        """Add facts to the kept ones, unless a file has changed since this entry was made."""
        known = self.read()
        if all(key in known for key in facts):
            return
        name, newest = self._state()
        if name is None or name != self._name or newest > time.time() - RECENT:
            return
        with contextlib.suppress(TypeError, ValueError, RecursionError):
            keep_text(f"facts/{name}", json.dumps(_packed({**known, **facts})), LARGEST_ENTRY, MOST_ENTRIES)

    def _state(self) -> tuple[str | None, float]:
        """The entry's name as the files are now, None where nothing is kept, and the last change in seconds."""
        if is_off():
            return None, 0.0
        digest, newest = hashlib.sha256(), 0.0
        try:
            digest.update(json.dumps([__version__, sys.version_info[:3], self._described], sort_keys=True).encode())
            for _, line in _stats(_code()):
                digest.update(line)
            for changed, line in _stats(self._files):
                digest.update(line)
                newest = max(newest, changed)
        except (OSError, TypeError, ValueError):
            return None, 0.0
        return digest.hexdigest(), newest


def is_off() -> bool:
    """Return whether the user wants nothing to be kept."""
    return os.environ.get(SWITCH, "").lower() in ("off", "0", "no", "false")


def kept_text(name: str, largest: int) -> str:
    """Return a text that `keep_text` has kept, empty if there is none or it is damaged.

    Args:
        name: a path below the cache folder.
        largest: characters that it may have.
    """
    try:
        with (cache_folder() / name).open(encoding="ascii") as file:
            checksum, _, text = file.read(2 * largest).partition("\n")
    except (OSError, ValueError, RuntimeError):  # the last if there is no home
        return ""
    return text if checksum == _checksum(text) else ""


def keep_text(name: str, text: str, largest: int, most: int) -> None:
    """Keep a text of ASCII if the cache folder can be written.

    Args:
        name: a path below the cache folder.
        largest: characters that it may have.
        most: files in its folder; the oldest are dropped.
    """
    if len(text) <= largest:
        with contextlib.suppress(OSError, ValueError, RuntimeError):
            _replace(cache_folder() / name, f"{_checksum(text)}\n{text}", most)


def _code() -> list[Path]:
    """Return the places of the code that finds facts, dltool's and that of libraries."""
    package = Path(__file__).parents[1]
    specifications = [importlib.util.find_spec(name) for name in LIBRARIES]
    installed = [Path(one.origin) for one in specifications if one is not None and one.origin is not None]
    return [*(package / name for name in CODE), *installed]


def _stats(paths: Sequence[Path]) -> Iterator[tuple[float, bytes]]:
    """When a file was changed, in seconds, and what tells that it was: path, size and times, of all files at paths."""
    seen: set[tuple[int, int]] = set()
    waiting = [os.fspath(path.absolute()) for path in reversed(paths)]
    while waiting:
        path = waiting.pop()
        found = Path(path).stat()
        if not stat.S_ISDIR(found.st_mode):
            line = f"{path}\0{found.st_size}\0{found.st_mtime_ns}\0{found.st_ctime_ns}\n"
            yield found.st_mtime, os.fsencode(line)
        elif (found.st_dev, found.st_ino) not in seen:  # a link may lead back
            seen.add((found.st_dev, found.st_ino))
            yield found.st_mtime, os.fsencode(f"{path}/\n")
            waiting += sorted((entry.path for entry in os.scandir(path)), reverse=True)


def _checksum(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _packed(value: Any) -> Any:
    """A fact as JSON can keep it.

    Raises:
        TypeError: it is of a kind that would not come back as it is.
    """
    if isinstance(value, tuple):
        return {TUPLE: [_packed(item) for item in value]}
    if isinstance(value, list):
        return [_packed(item) for item in value]
    if isinstance(value, dict) and TUPLE not in value and all(type(key) is str for key in value):
        return {key: _packed(item) for key, item in value.items()}
    if value is None or type(value) in (bool, int, float, str):
        return value
    raise TypeError(f"a {type(value).__name__} is not kept")


def _unpacked(value: dict[str, Any]) -> Any:
    return tuple(value[TUPLE]) if set(value) == {TUPLE} else value


def _replace(path: Path, text: str, most: int) -> None:
    """Write a file whole or not at all, and drop the oldest entries where there are too many."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, work = tempfile.mkstemp(prefix=".writing-", dir=path.parent)
    try:
        with os.fdopen(handle, "w", encoding="ascii") as file:
            file.write(text)
        Path(work).replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            Path(work).unlink()
        raise
    entries = []
    for entry in os.scandir(path.parent):
        with contextlib.suppress(OSError):  # another process drops entries too
            entries.append((entry.stat().st_mtime, entry.path))
    for _, old in sorted(entries)[: max(len(entries) - most, 0)]:
        with contextlib.suppress(OSError):
            Path(old).unlink()
