"""What files of words declare of themselves is read from their text, and holds of the classes."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import dltool
from dltool.recipe import catalogue, declarations

PACKAGE = Path(dltool.__file__).parent
DECLARED = [
    (kind, name, constant)
    for kind in ("layers", "applications", "procedures")
    for constant in (declarations.LAYER_ARGUMENTS, declarations.LEARNED_FROM)
    for name in declarations.declared(kind, constant)
]


def test_layers_and_architectures_that_take_layers_are_found() -> None:
    assert declarations.declared("layers", "LAYER_ARGUMENTS")["Residual"] == ("layers", "shortcut")
    assert {"layers", "cells", "branches", "columns", "decoder", "augment"} <= declarations.layer_arguments()
    assert "filters" not in declarations.layer_arguments()
    assert declarations.declared("layers", "LEARNED_FROM") == {"Pretrained": "source", "MadeImages": "source"}
    assert declarations.declared("procedures", "LEARNED_FROM") == {"Distill": "teacher"}


@pytest.mark.parametrize(("kind", "name", "constant"), DECLARED)
def test_a_declared_argument_is_one_of_the_class_and_the_text_is_what_python_reads(
    kind: str, name: str, constant: str
) -> None:
    value = declarations.declared(kind, constant)[name]
    word = catalogue.describe(kind, name)
    assert {value} <= word.arguments.keys() if isinstance(value, str) else {*value} <= word.arguments.keys()
    assert getattr(importlib.import_module(word.module), constant) == value


def test_declarations_are_read_without_keras() -> None:
    code = "import sys; from dltool.recipe import declarations as d; d.layer_arguments(); print('keras' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_no_other_room_lists_layers_of_dltool() -> None:
    """Text constants that equal a layer's name; Repeat alone is an option's subject (init-stats --depths)."""
    names = {*catalogue.own("layers"), *catalogue.own("applications")} - {"Repeat"}
    assert len(names) > 20
    found = []
    for room in ("graph", "recipe", "runs", "init_stats", "filters", "training", "tasks"):
        for path in (PACKAGE / room).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Constant) and node.value in names:
                    found.append(f"{path.relative_to(PACKAGE)}:{node.lineno} {node.value}")
    assert found == []
