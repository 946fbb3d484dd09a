"""Checks of constructor arguments, with one message template."""

from __future__ import annotations

import math
import numbers
import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from dltool.data.formats.locate import of_system


def wrong(owner: str, name: str, must_be: str, value: Any) -> ValueError:
    """Return the error "The 'name' parameter of Owner must be ... Got ... instead."."""
    return ValueError(f"The '{name}' parameter of {owner} must be {must_be}. Got {value!r} instead.")


def integer(owner: str, name: str, value: Any, low: int) -> int:
    """Return `value` as an int >= low."""
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < low:
        raise wrong(owner, name, f"an int > {low - 1}" if low == 1 else f"an int >= {low}", value)
    return int(value)


def real(owner: str, name: str, value: Any, low: float = -math.inf) -> float:
    """Return `value` as a finite float >= low."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real) or not math.isfinite(value) or value < low:
        raise wrong(owner, name, "a finite number" + (f" >= {low}" if low > -math.inf else ""), value)
    return float(value)


def fraction(owner: str, name: str, value: Any) -> float:
    """Return `value` as a float in [0, 1)."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real) or not 0 <= float(value) < 1:
        raise wrong(owner, name, "a fraction in the range [0.0, 1.0)", value)
    return float(value)


def boolean(owner: str, name: str, value: Any) -> bool:
    """Return `value` if it is True or False."""
    if not isinstance(value, bool):
        raise wrong(owner, name, "true or false", value)
    return value


def image_size(owner: str, name: str, value: Any) -> tuple[int, int]:
    """Return `value` as (rows, columns), ints > 0."""
    if not isinstance(value, Sequence) or isinstance(value, str) or len(value) != 2:
        raise wrong(owner, name, "two ints (rows, columns)", value)
    rows, columns = (integer(owner, name, side, 1) for side in value)
    return rows, columns


def choice(owner: str, name: str, value: Any, choices: Collection[str]) -> str:
    """Return `value` if it is one of `choices`."""
    if not isinstance(value, str) or value not in choices:
        raise wrong(owner, name, "one of " + ", ".join(map(repr, choices)), value)
    return value


def word(owner: str, name: str, value: Any, words: Sequence[str], old: Mapping[str, str]) -> str:
    """Return `value` if it is one of `words`, or the word that stands for one of `old` recipes."""
    if isinstance(value, str) and value in old:
        return old[value]
    return str(choice(owner, name, value, words))


def names(owner: str, name: str, value: Any) -> list[str]:
    """Return `value` as a list of distinct strings."""
    if isinstance(value, str) or not isinstance(value, Sequence) or not all(isinstance(v, str) for v in value):
        raise wrong(owner, name, "a list of names", value)
    if len(set(value)) != len(value):
        raise wrong(owner, name, "a list without repeated names", value)
    return list(value)


def existing(owner: str, name: str, value: Any, kind: str = "path") -> Path:
    """Return `value` as a path that exists; `kind` is "path", "file" or "folder"."""
    if not isinstance(value, (str, os.PathLike)) or not os.fspath(value):
        raise wrong(owner, name, f"the path of a {kind}" if kind != "path" else "a path", value)
    path = Path(of_system(os.fspath(value))).expanduser()
    if not path.exists():
        raise FileNotFoundError(f"No {kind} {path}: check the '{name}' parameter of {owner}.")
    if not path.is_file() and not path.is_dir():
        raise FileNotFoundError(f"{path} is neither a file nor a folder: check the '{name}' parameter of {owner}.")
    if kind == "file" and not path.is_file():
        raise IsADirectoryError(f"{path} is a folder: the '{name}' parameter of {owner} must be a file.")
    if kind == "folder" and not path.is_dir():
        raise NotADirectoryError(f"{path} is no folder: the '{name}' parameter of {owner} must be a folder.")
    return path


def inner_path(owner: str, name: str, value: Any) -> str:
    """Return `value` if it is a path below 'path' and leads nowhere else."""
    if not isinstance(value, str) or not value or Path(value).is_absolute() or ".." in Path(value).parts:
        raise wrong(owner, name, "a name in 'path'", value)
    return value


def stored(owner: str, part: str, parts: Iterable[str]) -> str:
    """Return `part` if it is one of the stored `parts`."""
    parts = list(parts)
    if part not in parts:
        raise ValueError(f"{owner} stores no part {part!r}; it stores {', '.join(parts)}.")
    return part
