"""The own Python that a run was trained with: kept beside its model, and asked for again before the run is opened."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from dltool.errors import DataError, UsageError
from dltool.recipe import plugins
from dltool.recipe.plugins import Plugin
from dltool.recipe.values import Value, object_name
from dltool.tasks.base import name_of

FOLDER = "plugins"
INDEX = "plugins.json"  # of each plugin its words, its file's SHA-256, and its file or package
SHOWN = 12  # characters of a hash in messages


def used_by(root: Value, task: str = "") -> list[Plugin]:
    """Return the plugins whose words a recipe names, and the one that has the task.

    Args:
        task: that of the recipe's data.
    """
    named = {object_name(value) for _, value in root.walk()}
    named |= {name for name in plugins.words("tasks") if name_of(name) == task}
    modules = {module for kind in plugins.kinds() for name, module in plugins.words(kind).items() if name in named}
    return [plugin for plugin in plugins.every() if plugin.module in modules]


def files_of(used: list[Plugin]) -> dict[str, bytes]:
    """Return what a run keeps of the plugins that it was trained with, name -> content; empty without plugins."""
    files: dict[str, bytes] = {}
    index: list[dict[str, Any]] = []
    for plugin in used:
        words = sorted(name for _, name in plugins.words_of(plugin))
        entry: dict[str, Any] = {"sha256": plugin.sha256, "words": words}
        if plugin.package is None:
            files[plugin.file.name] = plugin.file.read_bytes()
            index.append({"file": plugin.file.name, **entry})
        else:
            name, version = plugin.package
            index.append({"package": name, "version": version, "module": plugin.module, **entry})
    if index:
        files[INDEX] = json.dumps({"plugins": index}, indent=2).encode() + b"\n"
    return files


def check(run: Path, hashes: bool = True) -> None:
    """Raise unless the own Python that a run was trained with is there again.

    Args:
        run: the run directory; a folder that is none passes.
        hashes: whether a file must be the same, byte for byte.
    Raises:
        UsageError: a file was not given, is another one, or a package is not installed.
        DataError: what the run says of it is damaged.
    """
    lines = [line for entry in _index(run) if (line := _fault(run, entry, hashes)) is not None]
    if lines:
        raise UsageError(*lines)


def _fault(run: Path, entry: dict[str, Any], hashes: bool) -> str | None:
    wanted = str(entry["sha256"])
    if "package" in entry:
        if any(plugin.module == entry["module"] for plugin in plugins.installed()):
            return None
        name = f"{entry['package']} {entry['version']}"
        return f"{run}: was trained with the package {name}, which is not installed here. Install it."
    file = str(entry["file"])
    kept = run / FOLDER / file
    given = next((plugin for plugin in plugins.given() if plugin.file.name == file), None)
    if given is None:
        trained = f"{run}: was trained with own Python, {file} (SHA-256 {wanted[:SHOWN]}...)"
        return f"{trained}, which runs only if you name it. Add --plugin {kept}"
    if not hashes or given.sha256 == wanted:
        return None
    other = f"--plugin {given.file}: is not the file that {run} was trained with"
    hashed = f"(SHA-256 {given.sha256[:SHOWN]}..., then {wanted[:SHOWN]}...)"
    if kept.is_file() and given.file.samefile(kept):
        return f"{other} {hashed}: it was edited since. Put it back, or train again."
    return f"{other} {hashed}. Give --plugin {kept}, or train again with yours."


def _index(run: Path) -> list[dict[str, Any]]:
    path = run / FOLDER / INDEX
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))["plugins"]
        for entry in entries:
            keys = ("package", "version", "module") if "package" in entry else ("file",)
            if not all(isinstance(entry[key], str) for key in (*keys, "sha256")):
                raise ValueError("an entry is no text")
    except FileNotFoundError:
        return []
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise DataError(
            f"{path}: is damaged, so it is not known what the run was trained with. Train again."
        ) from error
    return list(entries)
