"""Kinds of pictures of runs, one file each: what a run gives is computed here and drawn by `dltool.output.plots`.

A file has a function `draw(runs, options, file, form)` that writes the picture and returns rows of a table, and states
in TAKES which options mean something for it.
"""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dltool.errors import UsageError, suggest_or_list

if TYPE_CHECKING:
    from dltool.runs.opened import OpenedRun

TAKES = re.compile(r"^TAKES = (.+)$", re.MULTILINE)


@dataclass(frozen=True)
class Options:
    """What may be asked of a picture; None: not given.

    Args:
        weights: names of the two weights across and up.
        layer: a layer's name.
        figure: a column of history.csv.
        over: epoch, step or seconds.
    """

    weights: str | None = None
    layer: str | None = None
    figure: str | None = None
    over: str | None = None


def kinds() -> dict[str, Sequence[str]]:
    """Return kind of picture -> names of the options that it takes, read off the text of this folder's files."""
    found = {}
    for path in sorted(Path(__file__).parent.glob("[!_]*.py")):
        if (line := TAKES.search(path.read_text(encoding="utf-8"))) is not None:
            found[path.stem] = ast.literal_eval(line[1])
    return found


def check(kind: str, options: Options) -> None:
    """Raise `UsageError` if there is no such kind of picture, or it takes no such option."""
    known = kinds()
    if kind not in known:
        raise UsageError(f"--what {kind}: no such picture.{suggest_or_list(kind, known)}")
    for field in fields(options):
        if getattr(options, field.name) is not None and field.name not in known[kind]:
            takers = ", ".join(name for name, taken in known.items() if field.name in taken)
            raise UsageError(f"--{field.name}: means nothing for --what {kind}. It goes with --what {takers}.")


def find(kind: str) -> Any:
    """Return the module of a kind of picture."""
    return importlib.import_module(f"{__name__}.{kind}")


def titles(runs: Sequence[OpenedRun]) -> list[str]:
    """Return a short name for each run: its folder's, or its path where folders have the same name."""
    names = [run.directory.path.absolute().name for run in runs]
    return names if len(set(names)) == len(names) else [str(run) for run in runs]
