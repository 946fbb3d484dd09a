"""Where callbacks of a recipe write: inside the run directory only, and never over files of dltool or of the user."""

from __future__ import annotations

import os
import re
import string
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

from dltool.errors import Place, Problem, RecipeError
from dltool.output.files import remove_empty
from dltool.recipe import run_files

FILES = frozenset({"filename", "filepath"})
FOLDERS = frozenset({"log_dir", "backup_dir", "directory"})
ARGUMENTS = FILES | FOLDERS  # of callbacks, that say where they write
LIKE_A_PATH = re.compile(r"(?:.*_)?(?:file|filename|filepath|path|dir|directory|folder)")
ADDRESSES = ("RemoteMonitor",)  # whose `path` is that of a server
SPEC = re.compile(r"[-+ ]?0?\d{0,2}(?:\.\d{1,2})?[deEfFgG%]?")  # forms of numbers in which no other character comes in
LONGEST = 200  # bytes of a name: systems take 255, and a number or a temporary name may come in


@dataclass(frozen=True)
class Output:
    """A place below the run directory where a callback writes.

    Args:
        path: of the argument in the recipe, as "fit.callbacks[0].CSVLogger.filename".
        key: the argument.
        written: its value, which may have fields such as {epoch}.
        place: in the recipe's file.
    """

    path: str
    key: str
    written: str
    place: Place


def is_output(key: str, path: str) -> bool:
    """Return whether a callback's argument says where it writes.

    Args:
        path: of the argument in the recipe.
    """
    return key in ARGUMENTS or (bool(LIKE_A_PATH.fullmatch(key)) and not any(name in path for name in ADDRESSES))


def fault(written: Any) -> str | None:
    """Return what is wrong with where a callback writes, as far as it can be seen without the run directory."""
    if not isinstance(written, str) or not written.strip() or "\0" in written:
        return f"must be a path below the run directory. Got {written!r}."
    path = PurePath(written)
    if path.is_absolute() or ".." in path.parts:
        return f"must stay below the run directory: give a relative path. Got {written!r}."
    if not path.parts:
        return f"must be a path below the run directory. Got {written!r}."
    if problem := _fault_of_fields(written):
        return f"{problem} Got {written!r}."
    if run_files.is_reserved(path.parts[0]):
        return f"{path.parts[0]} in the run directory is dltool's own: give another name. Got {written!r}."
    if any(len(os.fsencode(part)) > LONGEST for part in path.parts):
        return f"has a name of more than {LONGEST} bytes. Shorten it."
    return None


def fault_in(run: Path, key: str, written: str) -> str | None:
    """Return what is wrong with where a callback writes in this run directory: a link that leads out of it."""
    home = Path(os.path.realpath(run))
    below = [re.compile(".*", re.DOTALL)] if key in FOLDERS else []
    for path in _matching(run, _patterns(written) + below):
        if path.is_symlink() and not Path(os.path.realpath(path)).is_relative_to(home):
            return f"{path} is a link that leads out of the run directory. Remove it, or give another path."
    return None


def check_apart(outputs: Sequence[Output]) -> list[Problem]:
    """Return a problem for each callback that writes where one before it does."""
    problems: list[Problem] = []
    seen: dict[str, Output] = {}
    for output in outputs:
        place = os.path.normpath(output.written).casefold()
        first = seen.setdefault(place, output)
        if first is not output:
            message = f"writes the file of {first.path.rpartition('.')[0]}. Give one of them another {output.key}."
            problems.append(Problem(output.place, output.path.rpartition(".")[0], message))
    return problems


def check_free(outputs: Sequence[Output], run: Path, before: Sequence[Output]) -> None:
    """Raise if callbacks would write over files in a run directory that no callback of an earlier training wrote.

    Args:
        before: where the callbacks of that training wrote: such files may be replaced.
    Raises:
        RecipeError: a problem for each callback that would.
    """
    old = [_patterns(one.written) for one in before]
    problems = []
    for output in outputs:
        patterns = _patterns(output.written)
        for file in _matching(run, patterns):
            parts = file.relative_to(run).parts
            is_full = len(parts) == len(patterns) and not (file.is_dir() and not any(file.iterdir()))
            if is_full and not any(_covers(one, parts) for one in old):
                message = f"{file} is there and no earlier training wrote it. Move it, or give another path."
                problems.append(Problem(output.place, output.path, message))
                break
    if problems:
        raise RecipeError(problems)


def existing(run: Path, callbacks: Sequence[Any]) -> list[str]:
    """Return the names of the files that callbacks will replace, as far as their names are not filled in."""
    files = [Path(file) for one in callbacks for key in FILES if isinstance(file := getattr(one, key, None), str)]
    return [str(file.relative_to(run)) for file in files if file.is_relative_to(run) and file.is_file()]


@contextmanager
def undone_before(begun: Callable[[], bool], callbacks: Sequence[Any]) -> Iterator[None]:
    """If the block raises before training has begun, remove what callbacks have made until then.

    Args:
        begun: whether it has.
    """
    places = [
        Path(place) for one in callbacks for key in ARGUMENTS if isinstance(place := getattr(one, key, None), str)
    ]
    before = {path for place in places for path in _all_below(place)}
    missing = [folder for place in places for folder in (place, *place.parents) if not folder.exists()]
    try:
        yield
    except BaseException:
        if not begun():
            made = [path for place in places for path in _all_below(place) if path not in before]
            for path in sorted(made, key=lambda one: -len(one.parts)):
                if path.is_file() and not path.is_symlink():
                    path.unlink(missing_ok=True)
                else:
                    remove_empty([path])
            for folder in sorted(missing, key=lambda one: -len(one.parts)):
                remove_empty([folder])
        raise


def _all_below(place: Path) -> list[Path]:
    return [place, *place.rglob("*")] if place.exists() else []


def fault_of_names(written: str, known: Mapping[str, float]) -> str | None:
    """Return what is wrong with the fields of a path, given the figures that training measures."""
    try:
        written.format(**known)
    except (KeyError, ValueError, IndexError, TypeError) as error:
        names = [name for _, name, _, _ in string.Formatter().parse(written) if name is not None]
        unknown = [name for name in names if name not in known]
        if unknown:
            return f"names '{{{unknown[0]}}}', which is not measured. Measured: {', '.join(known)}."
        return f"can't be filled in: {error}. Got {written!r}."
    return None


def _fault_of_fields(written: str) -> str | None:
    """Only numbers in plain forms may be filled in, so that no slash and no second dot comes in by a field."""
    try:
        fields = [field for field in string.Formatter().parse(written) if field[1] is not None]
    except ValueError as error:
        return f"is no path to fill in: {error}."
    for _, name, spec, conversion in fields:
        if not name or "." in name or "[" in name or name.isdigit():
            return f"'{{{name}}}' names no figure: write {{epoch}} or {{val_loss:.2f}}."
        if conversion is not None or not SPEC.fullmatch(spec or ""):
            return f"'{{{name}}}' may have a plain form of number only, such as {{epoch:03d}} or {{val_loss:.2f}}."
    return None


def _patterns(written: str) -> list[re.Pattern[str]]:
    """A pattern for each part of a path with fields."""
    patterns = []
    for part in PurePath(written).parts:
        pieces = [re.escape(text) + ("" if name is None else "[^/]+") for text, name, _, _ in _parsed(part)]
        patterns.append(re.compile("".join(pieces), re.IGNORECASE | re.DOTALL))
    return patterns


def _parsed(part: str) -> list[tuple[str, str | None, str | None, str | None]]:
    try:
        return list(string.Formatter().parse(part))
    except ValueError:
        return [(part, None, None, None)]


def _matching(folder: Path, patterns: list[re.Pattern[str]]) -> Iterator[Path]:
    """Files, folders and links that a path with fields may pass through or end at."""
    if not patterns or not folder.is_dir():
        return
    for path in sorted(folder.iterdir()):
        if patterns[0].fullmatch(path.name):
            yield path
            yield from _matching(path, patterns[1:])


def _covers(patterns: list[re.Pattern[str]], parts: tuple[str, ...]) -> bool:
    """Return whether an earlier callback wrote there: the same file, or something below its folder."""
    return len(patterns) <= len(parts) and all(one.fullmatch(part) for one, part in zip(patterns, parts, strict=False))
