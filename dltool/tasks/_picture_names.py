"""Where the pictures of answers go: names in a folder that no other picture of a command has."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePath
from typing import Any

from dltool.errors import UsageError
from dltool.output.files import atomic
from dltool.output.ownership import is_output, marked

ROW = re.compile(r"(.*)(\.np[yz]):(\d+)", re.IGNORECASE)  # a row of one of several files of arrays


class PictureNames:
    """Names pictures by the places of their examples, and writes them.

    Args:
        folder: made where it is missing.
        overwrite: whether files that dltool wrote are replaced.
        written: the files that are of other pictures of the same command; those that are written join it.
    Raises:
        UsageError: the folder, or one that it lies in, is a file.
    """

    def __init__(self, folder: Path, overwrite: bool, written: set[str]) -> None:
        if file := next((one for one in (folder, *folder.parents) if one.exists() and not one.is_dir()), None):
            raise UsageError(f"--out {folder}: {file} is a file, no folder. Give a folder for the pictures.")
        self.folder, self.overwrite, self.written = folder, overwrite, written

    def free(self, place: Any, endings: Sequence[str]) -> list[Path]:
        """Return a path for each ending, NAME + ending, that no other picture of the command has.

        Args:
            place: the example's path, its row, or PATH:ROW. A name that is another picture's is made longer.
        Raises:
            UsageError: a file is there that may not be replaced.
        """
        for name in _names(place):
            paths = [self.folder / name.with_name(f"{name.name}{ending}") for ending in endings]
            keys = {str(path).casefold() for path in paths}  # some file systems know no case
            if not keys & self.written:
                self.written |= keys
                break
        for path in paths:
            if path.exists() and not (self.overwrite and is_output(path)):
                remedy = "Move it." if self.overwrite else "Use --overwrite to replace it, or another folder."
                raise UsageError(f"--out {path}: exists already. {remedy}")
        return paths

    def write(self, path: Path, content: bytes) -> None:
        """Write a PNG file, or one of arrays, with dltool's mark."""
        with atomic(path) as file:
            file.write(marked(content, path.suffix))


def _names(place: Any) -> Iterator[Path]:
    """Yield relative paths for a picture at a path or in a row of an array, without ending, the best one first."""
    if not isinstance(place, str):
        yield Path(f"{place:06d}")
        place = str(place)
    path = PurePath(place)
    folder = PurePath(*(part for part in path.parent.parts if part not in (path.anchor, "..", ".")))
    row = ROW.fullmatch(path.name)
    name = path.stem if row is None else f"{row[1]}-{int(row[3]):06d}"
    whole = path.name if row is None else f"{row[1]}{row[2]}-{int(row[3]):06d}"
    yield Path(folder, name)
    yield Path(folder, whole)
    yield from (Path(folder, f"{whole}-{number}") for number in itertools.count(2))
