"""Layers by glob, and their units by number or range."""

from __future__ import annotations

import re
from collections.abc import Sequence
from fnmatch import fnmatchcase

from dltool.errors import suggest
from dltool.graph.calls import Call

RANGE = re.compile(r"(\d*):(\d*)|(\d+)")


def choose_layers(found: Sequence[Call], patterns: Sequence[str]) -> list[Call]:
    """The calls whose path, or name without the models that hold it, matches a pattern, in the model's order.

    Raises:
        ValueError: a pattern that matches no layer.
    """
    firsts = [call for call in found if call.first]
    names = [call.path for call in firsts]
    for pattern in patterns:
        if not any(_matches(name, pattern) for name in names):
            raise ValueError(f"'{pattern}': no such layer.{suggest(pattern, names)} Layers: {', '.join(names)}.")
    return [call for call in firsts if any(_matches(call.path, pattern) for pattern in patterns)]


def choose_units(text: str, path: str, count: int) -> list[int]:
    """Numbers of units from "3", "0:16", "8:" or several with commas; a range may end beyond the last unit.

    Raises:
        ValueError: the text is no such thing, or names no unit of a layer that has `count`.
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


def _matches(path: str, pattern: str) -> bool:
    return fnmatchcase(path, pattern) or fnmatchcase(path.rpartition("/")[2], pattern)
