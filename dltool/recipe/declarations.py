"""Declarations of a word's file for recipes: constants of its module, read from the text; nothing is imported.

A file in library/ or training/procedures/ may hold, at the left margin and in one line:

    LAYER_ARGUMENTS = ("layers", "shortcut")  # arguments that take layers or lists of them
    MODEL_ARGUMENTS = ("discriminator",)  # arguments of a procedure that take the layers of a further model
    LEARNED_FROM = "source"  # the argument that names a file or run whose weights are taken
    USES_OPTIMIZER = False  # of a procedure to which compile.optimizer means nothing
"""

from __future__ import annotations

import ast
import functools
import re
from pathlib import Path
from typing import Any

from dltool.recipe import catalogue, module_outlines

LAYER_ARGUMENTS, MODEL_ARGUMENTS, LEARNED_FROM = "LAYER_ARGUMENTS", "MODEL_ARGUMENTS", "LEARNED_FROM"
NO_OPTIMIZER = r"^USES_OPTIMIZER = False\b"
OF_KERAS = ("layer", "layers", "backward_layer", "cell", "cells")  # arguments of Keras's layers that take layers
OF_RECIPES = ("augment",)  # a key of a recipe's data


@functools.cache
def layer_arguments() -> frozenset[str]:
    """Return the names of all arguments that take layers: Keras's, and those that dltool's own files declare."""
    own = [*declared("layers", LAYER_ARGUMENTS).values(), *declared("applications", LAYER_ARGUMENTS).values()]
    return frozenset((*OF_KERAS, *OF_RECIPES, *(name for names in own for name in names)))


@functools.cache
def model_arguments() -> frozenset[str]:
    """Return the names of all arguments of procedures that take the layers of a further model."""
    return frozenset(name for names in declared("procedures", MODEL_ARGUMENTS).values() for name in names)


def uses_optimizer(procedure: str | None) -> bool:
    """Return whether a procedure of this name, None for the default one, trains by `compile.optimizer`."""
    if procedure is None or not catalogue.has("procedures", procedure):
        return True
    path = module_outlines.find_source(catalogue.describe("procedures", procedure).module)
    return path is None or re.search(NO_OPTIMIZER, Path(path).read_text(encoding="utf-8"), re.MULTILINE) is None


@functools.cache
def declared(kind: str, constant: str) -> dict[str, Any]:
    """Return name -> value of a constant, for dltool's own names of a kind whose files hold it."""
    assignment = re.compile(rf"^{constant} = (.+)$", re.MULTILINE)
    found = {}
    for name, module in catalogue.own(kind).items():
        path = module_outlines.find_source(module)
        line = None if path is None else assignment.search(Path(path).read_text(encoding="utf-8"))
        if line is not None:
            found[name] = ast.literal_eval(line[1])
    return found
