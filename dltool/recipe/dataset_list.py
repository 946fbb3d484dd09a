"""The datasets that a recipe may name, with their arguments, as tables."""

from __future__ import annotations

import inspect
import re
from typing import Any

from dltool.output.tables import Rows
from dltool.recipe import builder, catalogue

ARGUMENT = re.compile(r"    (\w+(?:, \w+)*): ")  # begins an entry of a docstring's Args


def sections() -> dict[str, Rows]:
    """Return the datasets with one line each, and their arguments with defaults and meanings."""
    datasets: list[dict[str, Any]] = []
    arguments: list[dict[str, Any]] = []
    for name in catalogue.known("datasets"):
        dataset = catalogue.find("datasets", name)
        datasets.append({"dataset": name, "holds": (inspect.getdoc(dataset) or "").splitlines()[0]})
        meanings = _meanings(dataset)
        for argument, parameter in builder.parameters(dataset).items():
            required = parameter.default is parameter.empty
            default = "required" if required else repr(parameter.default)
            meaning = meanings.get(argument, "")
            arguments.append({"dataset": name, "argument": argument, "default": default, "meaning": meaning})
    return {"datasets": Rows.of(datasets), "arguments": Rows.of(arguments)}


def _meanings(dataset: Any) -> dict[str, str]:
    """Return argument -> its meaning by the docstrings of a class and its parents."""
    meanings: dict[str, str] = {}
    for parent in dataset.__mro__:
        entry: tuple[str, ...] = ()
        within = False
        found: dict[str, list[str]] = {}
        for line in (inspect.cleandoc(parent.__doc__) if parent.__doc__ else "").splitlines():
            if not line.startswith(" "):
                within = line.startswith("Args:")
            elif within:
                begun = ARGUMENT.match(line)
                if begun:
                    entry = tuple(begun[1].split(", "))
                    line = line[begun.end() :]
                for name in entry:
                    found.setdefault(name, []).append(line.strip())
        for name, lines in found.items():
            meanings.setdefault(name, " ".join(lines))
    return meanings
