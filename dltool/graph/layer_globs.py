"""Layers by glob, and their units by number or range.

One rule wherever a user names layers: a glob (`conv*`, `block?_conv`) matches a layer by its name, by its path
(`encoder/conv2d_3`: the names of the models and layers that hold it, outermost first), and by the name or path of
any of those, so that `encoder` stands for all that is inside. A glob that matches no layer is an error.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase

from dltool.errors import suggest
from dltool.graph.calls import Call

RANGE = re.compile(r"(\d*):(\d*)|(\d+)")


def matches(path: str, globs: Iterable[str]) -> bool:
    """Return whether one of the globs matches a layer.

    Args:
        path: the layer's path; the number of a call at its end, as in "dense (2)", is left aside.
    """
    names = _names(path)
    return any(fnmatchcase(name, glob) for glob in globs for name in names)


def check_globs(globs: Iterable[str], paths: Iterable[str], what: str = "layer") -> None:
    """Raise unless each glob matches a layer.

    Args:
        paths: of the layers that can be chosen.
        what: which layers those are, such as "layer with weights".
    Raises:
        ValueError: with the nearest name, and all paths.
    """
    paths = list(dict.fromkeys(paths))
    for glob in globs:
        if not any(matches(path, [glob]) for path in paths):
            near = suggest(glob.strip("*?"), sorted({name for path in paths for name in _names(path)}))
            raise ValueError(f"no {what} matches '{glob}'.{near} Layers: {', '.join(paths) or 'none'}.")


def choose_layers(calls: Sequence[Call], globs: Sequence[str]) -> list[Call]:
    """Return the first calls of the layers that a glob matches, in the model's order.

    Raises:
        ValueError: a glob matches no layer.
    """
    firsts = [call for call in calls if call.first]
    check_globs(globs, [call.path for call in firsts])
    return [call for call in firsts if matches(call.path, globs)]


def choose_units(text: str, path: str, count: int) -> list[int]:
    """Return numbers of units from "3", "0:16", "8:" or several with commas; a range may end beyond the last unit.

    Raises:
        ValueError: the text is no number or range, or names no unit of a layer that has `count`.
    """
    chosen: dict[int, None] = {}
    for part in text.split(","):
        match = RANGE.fullmatch(part.strip())
        if match is None:
            raise ValueError(f"'{text}': write numbers and ranges of units, such as 0:16 or 3,5,8:12.")
        if match[3] is not None:
            start, stop = int(match[3]), int(match[3]) + 1
        else:
            start, stop = int(match[1] or 0), int(match[2]) if match[2] else count
        units = range(start, min(stop, count))
        if not units:
            raise ValueError(f"'{part.strip()}': layer {path} has no such unit; it has 0 to {count - 1}.")
        chosen |= dict.fromkeys(units)
    return list(chosen)


def _names(path: str) -> list[str]:
    """Return what a glob may match: each name of a path, and the path down to each."""
    names = path.partition(" ")[0].split("/")
    return [*names, *("/".join(names[: depth + 1]) for depth in range(1, len(names)))]
