"""Which files of a run directory dltool wrote: what a new training may replace there, and what it must leave."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from pathlib import Path

from dltool.output.ownership import MARKER, read_marker

KIND = "run"
RECIPE = "recipe.yaml"
ENVIRONMENT = "environment.json"
FOLDERS = ("checkpoint", "vocabulary", "plugins", "filters")
NAMES = ("metrics.json", "model.keras", "discriminator.keras", "history.csv", ENVIRONMENT, "data.json", "bases.json",
         "history.png", RECIPE)  # fmt: skip
PERCENTILES = ("percentiles.csv", "percentiles.png")  # of the callback, in some runs: a user may take these names
BEST = re.compile(r"checkpoint/best-\d+\.npz")
STATE = "checkpoint/state.npz"
PLUGINS = re.compile(r"plugins/(?:plugins\.json|[^\W\d]\w*\.py)")
VOCABULARY = re.compile(r"vocabulary/(?:words|characters|sums)\.json|vocabulary/(?:pieces|shared|source|target)\.model")


def is_run(run: Path) -> bool:
    """Return whether dltool wrote a folder as a run directory."""
    return _noted(run) is not None or _is_old_run(run)


def written(run: Path) -> list[str]:
    """Return the names of the files in a run directory that dltool wrote, those of a folder below as "folder/file".

    The recipe comes last: without it a directory is no run.
    """
    noted = _noted(run)
    names = noted if noted is not None else _present(run) if _is_old_run(run) else []
    names = [*names, *(name for name in _present(run) if BEST.fullmatch(name) and STATE in names)]
    regular = [name for name in dict.fromkeys(names) if _is_regular(run, name)]
    return sorted(regular, key=lambda name: name == RECIPE)


def foreign(run: Path) -> list[str]:
    """Return what stands in a run directory in the place of a file of dltool's although dltool did not write it."""
    own = {*written(run)}
    taken = [name for name in FOLDERS if _exists(run / name) and not _is_own_folder(run / name)]
    return [*taken, *(name for name in _present(run) if name not in own and Path(name).parts[0] not in taken)]


def recipe_is_edited(run: Path) -> bool:
    """Return whether the recipe in a run directory is not as dltool wrote it."""
    try:
        content = (run / RECIPE).read_bytes()
    except OSError:
        return False
    noted = noted_recipe(run)
    return digest(content) != noted if noted is not None else not _is_as_written(run / RECIPE, content)


def noted_recipe(run: Path) -> str | None:
    """Return the digest of the recipe as dltool wrote it, None of runs of earlier versions."""
    noted = (read_marker(run, KIND) or {}).get("recipe")
    return noted if isinstance(noted, str) else None


def digest(content: bytes) -> str:
    """Return what tells a recipe's text from an edited one."""
    return hashlib.sha256(content).hexdigest()


def is_reserved(name: str) -> bool:
    """Return whether a name is that of a file or folder that dltool itself writes into a run directory."""
    return name.casefold() in {one.casefold() for one in (*NAMES, *FOLDERS, MARKER)}


def _noted(run: Path) -> list[str] | None:
    """The names that a run's marker lists, as far as they are names of dltool's."""
    held = None if (run / MARKER).is_symlink() else read_marker(run, KIND)
    return None if held is None else [name for name in held["files"] if _is_name(name)]


def _is_name(name: str) -> bool:
    return name in (*NAMES, *PERCENTILES, STATE) or any(one.fullmatch(name) for one in (BEST, VOCABULARY, PLUGINS))


def _present(run: Path) -> list[str]:
    """Files and links in a run directory under the names of dltool's files."""
    below = [f"{folder}/{path.name}" for folder in FOLDERS[:3] for path in _listed(run / folder)]
    return [name for name in (*NAMES, *below) if _is_name(name) and _exists(run / name)]


def _exists(path: Path) -> bool:
    return path.is_symlink() or path.exists()


def _is_own_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def _listed(folder: Path) -> Iterable[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else ()


def _is_regular(run: Path, name: str) -> bool:
    path = run / name
    linked = any(one.is_symlink() for one in (path, *(run / parent for parent in Path(name).parents if parent.name)))
    return path.is_file() and not linked


def _is_old_run(run: Path) -> bool:
    """Return whether a folder is a run of a version that wrote no marker."""
    if (run / MARKER).exists() or not (run / RECIPE).is_file():
        return False
    try:
        sessions = json.loads((run / ENVIRONMENT).read_text(encoding="utf-8"))["sessions"]
        return all("dltool" in one["versions"] for one in sessions) and bool(sessions)
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return False


def _is_as_written(path: Path, content: bytes) -> bool:
    """Return whether a recipe's text is the one that dltool writes: no comments, its own order of spaces."""
    from dltool.errors import DltoolError
    from dltool.recipe.values import from_text, to_text

    try:
        text = content.decode()
        return to_text(from_text(text, str(path)).plain()) == text
    except (DltoolError, ValueError):
        return False
