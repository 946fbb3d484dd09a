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


def sources(incomplete: str) -> list[str]:
    """Return bundled recipes, recipe files and run directories that begin with what was typed."""
    files = [
        text for text, path in _paths(incomplete) if path.suffix in (".yaml", ".yml") and path.name != "recipe.yaml"
    ]
    return [*bundled(incomplete), *files, *runs(incomplete)]


def overrides(ctx: typer.Context, incomplete: str) -> list[str]:
    """Return the keys of the command's recipe, with "=", that begin with what was typed."""
    source = ctx.params.get("recipe") or ctx.params.get("source")
    return [] if source is None else _keys(str(source), list(ctx.params.get("overrides") or []), incomplete)


def sources_with_overrides(ctx: typer.Context, incomplete: str) -> list[str]:
    """Return more sources, and the keys of the last one."""
    from dltool.recipe.overrides import grouped

    typed = [str(text) for text in ctx.params.get("sources") or []]
    keys: list[str] = []
    if typed and incomplete:
        with contextlib.suppress(Exception):
            source, changes = grouped(typed)[-1]
            keys = _keys(source, changes, incomplete)
    return [*sources(incomplete), *keys]


def _keys(source: str, changes: list[str], incomplete: str) -> list[str]:
    """Return dotted keys with "=": those in a recipe, and those of a section that it leaves out."""
    from dltool.recipe import reading

    run = Path(source) / "recipe.yaml"
    sections = {"data": reading.DATA_KEYS, "compile": reading.COMPILE_KEYS, "fit": reading.FIT_KEYS}
    keys = [name for name in reading.TOP_KEYS if name not in ("extends", "model", *sections)]
    keys += [f"{section}.{name}" for section, names in sections.items() for name in names]
    with contextlib.suppress(Exception):  # a recipe with mistakes still has the keys that every recipe has
        recipe, _ = reading.read(run if run.is_file() else source, changes)
        keys += [_dotted(path) for path, value in recipe.root.walk() if path and not value.is_mapping]
    return [f"{key}=" for key in dict.fromkeys(keys) if key.startswith(incomplete)]


def _dotted(path: str) -> str:
    return path.replace("[", ".").replace("]", "")


def _paths(incomplete: str) -> Iterator[tuple[str, Path]]:
    """Yield files and folders whose path begins with what was typed, as text and as a path, nearest first."""
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
            if depth < DEPTH and entry.is_dir() and not (Path(entry.path) / "recipe.yaml").is_file():
                folders.append((f"{prefix}{entry.name}/", Path(entry.path), depth + 1))
