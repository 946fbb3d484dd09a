"""Arguments of classes as their source says, through the modules that import them and their parents."""

from __future__ import annotations

import ast
import functools
import inspect
import re
from dataclasses import dataclass
from typing import Any

from dltool.recipe import module_outlines
from dltool.recipe.module_outlines import Argument, Definition

UNREADABLE = object()  # a default that is no literal
NO_KEYWORDS = "keras.src.layers.layer"  # the module whose class takes **kwargs and passes none on
ENTRY = re.compile(r"    (\*{0,2}\w+(?:, \w+)*): ?")  # begins an entry of a docstring's Args
MOST_STEPS = 20  # imports from which one class may come; more is a circle


@dataclass(frozen=True)
class Outline:
    """A class without its code: calling it gives the arguments that an object would get.

    Args:
        name: the class's name.
        __signature__: of its constructor, without self.
    """

    name: str
    __signature__: inspect.Signature

    def __call__(self, **arguments: Any) -> Outlined:
        bound = self.__signature__.bind(**arguments)
        bound.apply_defaults()
        return Outlined(self.name, dict(bound.arguments))


@dataclass(frozen=True)
class Outlined:
    """An object's outline: its class's name and all its arguments, defaults included."""

    name: str
    arguments: dict[str, Any]


def locate(module: str, name: str, steps: int = MOST_STEPS) -> tuple[str, Definition] | None:
    """Return a class's or function's own module and definition, found through the modules that import it."""
    outline = module_outlines.read(module)
    if name in outline.definitions:
        return module, outline.definitions[name]
    if name not in outline.imports or steps == 0:
        return None
    other, there = outline.imports[name]
    return locate(_as_keras(other), there, steps - 1) if there else None


def locate_base(module: str, base: str) -> tuple[str, Definition] | None:
    """Return the own module and definition of a class's parent, written `Name` or `module.Name`."""
    place = where(module, base)
    return None if place is None else locate(*place)


def where(module: str, written: str) -> tuple[str, str] | None:
    """Return the module and the name that `Name` or `module.Name` means in a module's source."""
    holder, _, name = written.rpartition(".")
    if not holder:
        return module, name
    first, _, rest = holder.partition(".")
    if first not in module_outlines.read(module).imports:
        return None
    other, there = module_outlines.read(module).imports[first]
    return _as_keras(".".join(filter(None, (other, there, rest)))), name


def _as_keras(module: str) -> str:
    """Return `keras.layers` of tensorflow.keras.layers, which TensorFlow gives by another way than an import."""
    return module.removeprefix("tensorflow.") if f"{module}.".startswith("tensorflow.keras.") else module


def arguments(module: str, name: str) -> dict[str, Argument]:
    """Return what a class's constructor or a function takes by name, the parents' included if it passes **kwargs on."""
    place = locate(module, name)
    return {} if place is None else _arguments(*place)


def _arguments(module: str, definition: Definition, steps: int = MOST_STEPS) -> dict[str, Argument]:
    found = {argument.name: argument for argument in definition.arguments or ()}
    if definition.is_class and definition.passes_on and module != NO_KEYWORDS and steps:
        for base in definition.bases:
            place = locate_base(module, base)
            for inherited, argument in _arguments(*place, steps - 1).items() if place is not None else ():
                if inherited not in found:  # the class itself fills in what its parents require
                    is_filled = bool(definition.arguments) and argument.default is None
                    found[inherited] = Argument(inherited, "None") if is_filled else argument
    return found


def parameters(module: str, name: str) -> list[inspect.Parameter]:
    """Return `arguments` as `inspect` has them, each by keyword, which is how recipes give them."""
    return [
        inspect.Parameter(one.name, inspect.Parameter.KEYWORD_ONLY, default=literal(one.default))
        for one in arguments(module, name).values()
    ]


def literal(text: str | None) -> Any:
    """Return the value of a default's source text: `Parameter.empty` of None, `UNREADABLE` of what is no literal."""
    if text is None:
        return inspect.Parameter.empty
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, RecursionError):
        return UNREADABLE


def first_line(module: str, name: str) -> str:
    """Return the first sentence of a class's or function's docstring, empty if it has none."""
    place = locate(module, name)
    return "" if place is None else place[1].line


def meanings(module: str, name: str) -> dict[str, str]:
    """Return argument -> what the docstrings of a class and its parents say of it."""
    place = locate(module, name)
    found: dict[str, str] = {}
    for _ in range(MOST_STEPS):
        if place is None:
            break
        home, definition = place
        own = next((key for key, one in module_outlines.read(home).definitions.items() if one is definition), name)
        for argument, text in _entries(_docstring(home, own)).items():
            found.setdefault(argument, text)
        place = next((found_ for base in definition.bases if (found_ := locate_base(home, base)) is not None), None)
    return found


def _docstring(module: str, name: str) -> str:
    path = module_outlines.find_source(module)
    tree = ast.parse(path.read_bytes()) if path is not None else ast.Module([], [])
    for node in tree.body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == name:
            return ast.get_docstring(node) or ""
    return ""


def _entries(docstring: str) -> dict[str, str]:
    """Return the entries below "Args:" of a docstring, each in one line."""
    found: dict[str, list[str]] = {}
    names: list[str] = []
    within = False
    for line in docstring.splitlines():
        if line and not line.startswith(" "):
            within = line.startswith("Args:")
        elif within:
            begun = ENTRY.match(line)
            if begun:
                names = begun[1].split(", ")
                line = line[begun.end() :]
            for one in names:
                found.setdefault(one, []).append(line.strip())
    return {name: " ".join(filter(None, lines)) for name, lines in found.items()}


@functools.cache
def metric_modes() -> dict[str, str]:
    """Return the figure of a metric of Keras -> "max" if it is to rise, "min" if it is to fall, as its class says."""
    found = {"accuracy": "max", "acc": "max"}  # words that Model.compile resolves by the loss
    for module, name in module_outlines.read("keras.metrics").imports.values():
        place = locate(module, name)
        if place is not None and place[1].direction:
            figure = next((literal(one.default) for one in place[1].arguments or () if one.name == "name"), None)
            if isinstance(figure, str):
                found[figure] = "max" if place[1].direction == "up" else "min"
    return found
