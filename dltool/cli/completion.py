"""Answers of the shell's TAB key: recipes, run directories and keys of recipes, found without TensorFlow."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

VARIABLE = "_DLTOOL_COMPLETE"  # in which the shell's script asks
DEPTH = 2  # folders below the one that is typed, in which runs are looked for
MOST_ENTRIES = 2_000  # of all these folders that are looked at


def is_asked() -> bool:
    """Return whether the shell asks for completions in place of running a command."""
    return VARIABLE in os.environ


def runs(incomplete: str) -> list[str]:
    """Return the run directories whose path begins with what was typed."""
    from dltool.recipe.run_files import RECIPE

    return [text for text, path in _paths(incomplete) if (path / RECIPE).is_file()]


def bundled(incomplete: str) -> list[str]:
    """Return the bundled recipes that begin with what was typed."""
    from dltool.recipe.reading import bundled_names

    return [name for name in bundled_names() if name.startswith(incomplete)]


def applications(incomplete: str) -> list[str]:
    """Return the nets whose name begins with what was typed."""
    from dltool.recipe import catalogue

    return [name for name in catalogue.known("applications") if name.startswith(incomplete)]


def words(ctx: typer.Context, incomplete: str) -> list[str]:
    """Return kinds of words, or the names of the kind before, that begin with what was typed."""
    from dltool.recipe import catalogue

    typed = ctx.params.get("asked") or []
    names = catalogue.known(typed[0]) if typed and typed[0] in catalogue.KINDS else catalogue.KINDS
    return [name for name in names if name.startswith(incomplete)]


def sources(incomplete: str) -> list[str]:
    """Return bundled recipes, recipe files and run directories that begin with what was typed."""
    files = [
        text for text, path in _paths(incomplete) if path.suffix in (".yaml", ".yml") and path.name != "recipe.yaml"
    ]
    return [*bundled(incomplete), *files, *runs(incomplete)]


def overrides(ctx: typer.Context, incomplete: str) -> list[str]:
    """Return the keys of the command's recipe, with "=", that begin with what was typed; after "=", values."""
    source = ctx.params.get("recipe") or ctx.params.get("source")
    return [] if source is None else _changes(str(source), list(ctx.params.get("overrides") or []), incomplete)


def sources_with_overrides(ctx: typer.Context, incomplete: str) -> list[str]:
    """Return more sources, and the keys of the last one."""
    from dltool.recipe.overrides import grouped

    changes: list[str] = []
    with contextlib.suppress(Exception):
        source, typed = grouped([str(text) for text in ctx.params.get("sources") or []])[-1]
        changes = _changes(source, typed, incomplete)
    return [*changes, *sources(incomplete)]


def _changes(source: str, typed: list[str], incomplete: str) -> list[str]:
    """Return texts for an override that has been begun.

    Bash splits words at "=": "fit.epochs=5" comes as three, and a "=" at the end is left out. Other shells leave it
    whole.

    Args:
        typed: the overrides before.
    """
    key, sign, _ = incomplete.partition("=")
    if sign and key:
        return [f"{key}={value}" for value in _values(source, key)]
    words = [word for word in typed if word != "="]
    if words and "=" not in words[-1]:
        return _values(source, words[-1])
    keys = [f"{key}=" for key in _keys(source) if key.startswith(incomplete)]
    if len(keys) == 1:  # with two answers the shell adds no space after "="
        keys += [keys[0] + value for value in _values(source, keys[0].removesuffix("="))[:1] or ["..."]]
    return keys


def _read(source: str) -> Any:
    """Return the values of a recipe or of a run's recipe, mistakes or not; None if it can't be read."""
    from dltool.recipe import reading
    from dltool.recipe.run_files import RECIPE

    run = Path(source) / RECIPE
    with contextlib.suppress(Exception):
        return reading.read(run if run.is_file() else source)[0].root
    return None


def _keys(source: str) -> list[str]:
    """Return the dotted keys that a recipe has, and those of a section that it leaves out."""
    from dltool.recipe import reading

    sections = {"data": reading.DATA_KEYS, "compile": reading.COMPILE_KEYS, "fit": reading.FIT_KEYS}
    keys = [name for name in reading.TOP_KEYS if name not in ("extends", "model", *sections)]
    keys += [f"{section}.{name}" for section, names in sections.items() for name in names]
    root = _read(source)
    values = [] if root is None else root.walk()
    keys += [_dotted(path) for path, value in values if path and not value.is_mapping]
    return [*dict.fromkeys(keys)]


def _values(source: str, key: str) -> list[str]:
    """Return the value that a recipe has at a dotted key, and the other one of true and false."""
    root = _read(source)
    values = {} if root is None else {_dotted(path): value for path, value in root.walk()}
    if key not in values or values[key].is_mapping or values[key].is_list:
        return []
    data = values[key].data
    return ["true", "false"] if isinstance(data, bool) else ["" if data is None else str(data)]


def _dotted(path: str) -> str:
    return path.replace("[", ".").replace("]", "")


def _paths(incomplete: str) -> Iterator[tuple[str, Path]]:
    """Yield files and folders whose path begins with what was typed, as text and as a path, nearest first."""
    from dltool.recipe.run_files import RECIPE

    typed, slash, begin = incomplete.rpartition("/")
    folders: list[tuple[str, Path, int]] = [(typed + slash, Path(typed + slash or "."), 0)]
    left = MOST_ENTRIES
    for prefix, folder, depth in folders:
        entries: list[Any] = []
        with contextlib.suppress(OSError):
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        for entry in entries:
            left -= 1
            if left < 0:
                return
            hidden = entry.name.startswith(".") and not begin.startswith(".")
            if hidden or (depth == 0 and not entry.name.startswith(begin)):
                continue
            yield prefix + entry.name, Path(entry.path)
            if depth < DEPTH and entry.is_dir() and not (Path(entry.path) / RECIPE).is_file():
                folders.append((f"{prefix}{entry.name}/", Path(entry.path), depth + 1))
