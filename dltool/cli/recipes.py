"""dltool recipes: the bundled recipes, listed or copied."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from dltool.errors import UsageError, suggest
from dltool.output import tables
from dltool.output.files import is_below_file
from dltool.output.tables import Rows
from dltool.recipe import reading
from dltool.runs import directory


def list_bundled(*, form: str, write: Callable[[str], None]) -> None:
    """Write the bundled recipes with their one-line purpose."""
    write(tables.render({"recipes": listing()}, form))


def listing() -> Rows:
    """A row a bundled recipe: name and purpose."""
    names = reading.bundled_names()
    folder = reading.bundled()
    purposes = [reading.purpose(folder / f"{name}.yaml") for name in names]
    return Rows({"recipe": names, "purpose": purposes})


def copy(name: str, folder: Path, *, overwrite: bool, write: Callable[[str], None]) -> None:
    """Copy a bundled recipe and the recipes that it extends, keeping their relative places.

    Raises:
        UsageError: there is no such recipe, `folder` is not one, or a file would be replaced.
    """
    if is_below_file(folder / name) or (folder.suffix in (".yaml", ".yml") and not folder.exists()):
        raise UsageError(f"{folder}: give the folder to copy into")
    name = name.removesuffix(".yaml")
    known = reading.bundled_names()
    if name not in known:
        raise UsageError(f"no bundled recipe '{name}'.{suggest(name, known)} 'dltool recipes' lists them.")
    source = reading.bundled() / f"{name}.yaml"
    files = reading.chain(source)
    top = os.path.commonpath([file.parent for file in files])
    targets = {file: folder / file.relative_to(top) for file in files}
    for target in targets.values():
        if target.is_symlink() or (target.exists() and not target.is_file()):
            raise UsageError(f"{target}: is no regular file. Copy into another folder.")
        if target.exists() and not overwrite:
            raise UsageError(f"{target}: exists already. Use --overwrite to replace it.")
    different = {file: target for file, target in targets.items() if not _is_copy(file, target)}
    for target in different.values():
        if target.exists():
            why = "was edited since dltool copied it, so --overwrite leaves it alone"
            raise UsageError(f"{target}: {why}. Remove it, or copy into another folder.")
    for file, target in different.items():
        with directory.atomic(target) as copied:
            copied.write(file.read_bytes())
    write(f"{targets[source]}\n")


def _is_copy(file: Path, target: Path) -> bool:
    return target.exists() and target.read_bytes() == file.read_bytes()
