"""The pre-trained files that a recipe's model starts from, recorded with a run, compared on resume."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

from dltool.errors import Problem, RecipeError, UsageError
from dltool.library.layers._learned_file import learned_file
from dltool.recipe.declarations import LEARNED_FROM, declared
from dltool.recipe.reading import Recipe
from dltool.recipe.values import Value, join
from dltool.runs import directory
from dltool.runs.directory import RunDirectory

FILES = (".h5", ".keras")  # as `weights` of a net of keras.applications


def records(recipe: Recipe) -> list[dict[str, str]]:
    """Return each base's place in the recipe, its file and SHA-256.

    A missing file is reported later, when the model is built.
    """
    found = []
    for path, value in _named(recipe):
        try:
            file = learned_file(value.data) if path.rpartition(".")[2] != "weights" else value.data
            with open(file, "rb") as opened:
                digest = hashlib.file_digest(opened, "sha256").hexdigest()
        except (OSError, ValueError):
            continue
        found.append({"at": path, "source": _absolute(value.data), "sha256": digest})
    return found


def check_same(run: RunDirectory, recipe: Recipe) -> None:
    """Raise unless the run's bases are what they were when it began.

    Raises:
        UsageError: a base has changed.
    """
    if not (run / directory.BASES).is_file():
        return
    with run.reading(directory.BASES):
        before = {one["at"]: one["sha256"] for one in run.read_json(directory.BASES).get("bases", [])}
    for one in records(recipe):
        old = before.get(one["at"])
        if old is not None and old != one["sha256"]:
            raise UsageError(
                f"{run}: the base {one['source']} ({one['at']}) has changed since. Train again with another --out, or "
                "go on with --accept-changes: the run's own state has all weights of its model."
            )


def check_outlive(run: RunDirectory, recipe: Recipe) -> None:
    """Raise if a training into `run` would remove what it starts from: a base, or a teacher.

    Args:
        recipe: as given, whose places the error tells.
    Raises:
        RecipeError: it would.
    """
    named = _named(recipe)
    if (procedure := recipe.get("procedure")) is not None:
        named += [(at, one) for at, one in procedure.walk("procedure") if at.endswith(_teachers())]
    problems = []
    for at, value in named:
        if not isinstance(value.data, str) or not _is_removed(_real(Path(value.data).expanduser()), run.path):
            continue
        message = f"is in {run}, which this training replaces: give another --out, or copy that run first."
        problems.append(Problem(value.place, at, message))
    if problems:
        raise RecipeError(problems)


def _is_removed(file: Path, run: Path) -> bool:
    """Return whether a file or folder is a run directory, or training would replace it."""
    if not file.is_relative_to(folder := _real(run)):
        return False
    within = file.relative_to(folder).parts
    return not within or within[0] in {Path(name).parts[0] for name in directory.OWN}


def _real(path: Path) -> Path:
    """A path with links followed; `resolve` would raise on links that lead to themselves."""
    return Path(os.path.realpath(path))


def absolute(model: Any) -> Any:
    """A recipe's model in plain words with the paths of its bases absolute."""
    if isinstance(model, list):
        return [absolute(item) for item in model]
    if not isinstance(model, dict):
        return model
    changed = {key: absolute(value) for key, value in model.items()}
    for name, argument in declared("layers", LEARNED_FROM).items():
        body = changed.get(name)
        if isinstance(body, str):
            changed[name] = _absolute(body)
        elif isinstance(body, dict) and isinstance(body.get(argument), str):
            changed[name] = {**body, argument: _absolute(body[argument])}
    if isinstance(changed.get("weights"), str) and changed["weights"].endswith(FILES):
        changed["weights"] = _absolute(changed["weights"])
    return changed


def _named(recipe: Recipe) -> list[tuple[str, Value]]:
    """Return the values by which a recipe's model and augmentation name files, with their paths."""
    augment = recipe.get("data", "augment")
    more = [] if augment is None else _sources(augment, "data.augment")
    return _sources(recipe.root["model"], "model") + more


def _sources(value: Value, path: str) -> list[tuple[str, Value]]:
    """The values below one that name a base's file, with their paths."""
    found, layers = [], declared("layers", LEARNED_FROM)
    for at, one in value.walk(path):
        above, _, key = at.rpartition(".")
        if not isinstance(one.data, str):
            continue
        within = above.rpartition(".")[2].partition("[")[0]
        if key in layers or layers.get(within) == key or (key == "weights" and one.data.endswith(FILES)):
            found.append((join(at, layers[key]) if key in layers else at, one))
    return found


def _teachers() -> tuple[str, ...]:
    """Return the ends of a recipe's paths at which procedures name what they learn from."""
    found = declared("procedures", LEARNED_FROM)
    return tuple(end for name, argument in found.items() for end in (f"procedure.{name}", f"{name}.{argument}"))


def _absolute(path: str) -> str:
    return os.path.abspath(os.path.expanduser(path))  # noqa: PTH100, PTH111 - resolve() would follow links
