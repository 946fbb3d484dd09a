"""Keras's classes as their source tells: names, arguments and defaults by syntax trees, without importing Keras.

It answers in the place of `names` where a recipe is to be understood at once: importing Keras takes seconds.
"""

from __future__ import annotations

import ast
import functools
import importlib.util
import inspect
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dltool.recipe import catalogue

EMPTY = inspect.Parameter.empty
WITHOUT_KERAS = ("datasets", "schedules")  # dltool's own, which load at once
SPOKEN = ("activations", "initializers", "regularizers", "constraints", "losses", "metrics")  # by words
UNREADABLE = object()  # a default that is no literal


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
    """What an object would be made of: its class's name and all its arguments, defaults included."""

    name: str
    arguments: dict[str, Any]


def find(kind: str, name: str) -> Any:
    """As `names.find`, but an `Outline` for what would need Keras.

    Raises:
        UnknownNameError: neither dltool nor Keras has it.
    """
    if kind in WITHOUT_KERAS or (kind, name) in catalogue.REFUSED:
        return catalogue.find(kind, name)
    if not has(kind, name):
        raise catalogue.UnknownNameError(kind, name, known(kind))
    module = catalogue.own(kind).get(name) or _keras(kind)[name]
    parameters = list(_parameters(module, name).values())
    if kind == "applications" and name not in catalogue.own(kind):  # what `with_preprocessing` adds
        parameters.append(inspect.Parameter("preprocessing", inspect.Parameter.KEYWORD_ONLY, default=None))
    return Outline(name, inspect.Signature(parameters))


def has(kind: str, name: str) -> bool:
    return name in catalogue.own(kind) or name in _keras(kind)


def known(kind: str) -> list[str]:
    """Every name of a kind."""
    refused = {name for refused_kind, name in catalogue.REFUSED if refused_kind == kind}
    return sorted(({*catalogue.own(kind), *_keras(kind)}) - refused)


def words(kind: str) -> list[str]:
    """Keras's lower-case names of a kind, as `names.words`."""
    if kind not in ("activations", "initializers", "losses", "metrics"):
        return []
    return sorted(name for name in _imported(f"keras.{kind}") if name[0].islower() and name not in catalogue.PLUMBING)


def is_word(kind: str, word: str) -> bool:
    """Whether Keras knows a lower-case word of a kind: adam, relu, he_normal."""
    if kind == "optimizers":
        return word.lower() in _spoken(kind)
    return kind in SPOKEN and word in _keys(kind)


def spoken(kind: str, word: str) -> Outline:
    """The outline that a lower-case word stands for."""
    return find(kind, _spoken(kind)[word.lower()])


@functools.cache
def _keras(kind: str) -> dict[str, str]:
    """Capitalised name -> the module that gives it, of the namespaces of a kind."""
    found: dict[str, str] = {}
    for namespace in catalogue.KERAS_NAMESPACES.get(kind, ()):
        further = namespace != catalogue.KERAS_NAMESPACES[kind][0]  # activations are also layers, but only some layers
        for name, source in _imported(namespace).items():
            if further and not source.startswith(f"keras.src.{namespace.split('.')[1]}.{kind}."):
                continue
            if name[0].isupper() and name not in catalogue.WITHOUT_USE:
                found.setdefault(name, namespace)
    elsewhere = {name: module for (other, name), module in catalogue.KERAS_ELSEWHERE.items() if other == kind}
    return found | elsewhere


def _imported(module: str) -> dict[str, str]:
    """Name -> the module that it is imported from, of everything that a module imports by name."""
    return {
        alias.asname or alias.name: node.module or ""
        for node in ast.walk(_tree(module))
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }


@functools.cache
def _keys(kind: str) -> frozenset[str]:
    """What `keras.<kind>.get` takes: names of ALL_OBJECTS, as they are and in snake case, and aliases."""
    objects: set[str] = set()
    aliases: set[str] = set()
    in_snake_case = False
    for node in _tree(f"keras.src.{kind}").body:
        told = ast.unparse(node).partition("\n")[0]
        if told.startswith("ALL_OBJECTS = "):
            objects = {item.id for item in ast.walk(node) if isinstance(item, ast.Name)} - {"ALL_OBJECTS"}
        elif told.startswith("ALL_OBJECTS_DICT"):
            in_snake_case |= "to_snake_case" in ast.unparse(node)
            aliases |= {
                item.value for item in ast.walk(node) if isinstance(item, ast.Constant) and isinstance(item.value, str)
            }
    return frozenset(objects | aliases | ({_snake_case(name) for name in objects} if in_snake_case else set()))


def _snake_case(name: str) -> str:
    """As `keras.src.utils.naming.to_snake_case`."""
    name = re.sub(r"\W+", "", name)
    name = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub("([a-z])([A-Z])", r"\1_\2", name).lower()


@functools.cache
def _spoken(kind: str) -> dict[str, str]:
    """Lower-case word -> class: what `keras.<kind>.get` takes, the classes that its source gathers in ALL_OBJECTS."""
    for node in ast.walk(_tree(f"keras.src.{kind}")):
        if (
            isinstance(node, ast.Assign)
            and ast.unparse(node.targets[0]) == "ALL_OBJECTS"
            and isinstance(node.value, ast.Set)
        ):
            found = [item.id for item in node.value.elts if isinstance(item, ast.Name)]
            return {name.lower(): name for name in found if name not in catalogue.WITHOUT_USE}
    return {}


def _parameters(module: str, name: str) -> dict[str, inspect.Parameter]:
    """Arguments of a class's constructor by name, its parents' included where it passes **kwargs on."""
    found = _class(module, name)
    if found is None:
        return {}
    module, node = found
    if isinstance(node, ast.FunctionDef):
        return {parameter.name: parameter for parameter in _arguments(node.args, skip=0)}
    own: dict[str, inspect.Parameter] = {}
    passes_on = True
    if any("dataclass" in ast.unparse(decorator) for decorator in node.decorator_list):
        return {field.name: field for field in _fields(node)}
    for item in node.body:
        if isinstance(item, ast.FunctionDef) and item.name == "__init__":
            own = {parameter.name: parameter for parameter in _arguments(item.args)}
            passes_on = item.args.kwarg is not None and not module.endswith("layers.layer")
    if passes_on:
        for base in node.bases:
            for inherited, parameter in _inherited(module, base).items():
                if inherited not in own:
                    own[inherited] = parameter.replace(default=None) if own else parameter
    return own


def _arguments(arguments: ast.arguments, skip: int = 1) -> Iterator[inspect.Parameter]:
    """Every argument as a keyword, which is how recipes give them.

    Args:
        skip: leading ones that are left out: self.
    """
    positional = [*arguments.posonlyargs, *arguments.args]
    defaults = [None] * (len(positional) - len(arguments.defaults)) + list(arguments.defaults)
    for argument, default in [*list(zip(positional, defaults, strict=True))[skip:],
                              *zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)]:  # fmt: skip
        value = EMPTY if default is None else _literal(default)
        yield inspect.Parameter(argument.arg, inspect.Parameter.KEYWORD_ONLY, default=value)


def _fields(node: ast.ClassDef) -> Iterator[inspect.Parameter]:
    """The fields of a dataclass."""
    for item in node.body:
        if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name):
            value = EMPTY if item.value is None else _literal(item.value)
            yield inspect.Parameter(item.target.id, inspect.Parameter.KEYWORD_ONLY, default=value)


def _literal(node: ast.expr) -> Any:
    try:
        return ast.literal_eval(node)
    except ValueError:
        return UNREADABLE


def _inherited(module: str, base: ast.expr) -> dict[str, inspect.Parameter]:
    """The arguments of a parent class, written `Name` or `module.Name`."""
    holder, _, name = ast.unparse(base).rpartition(".")
    if not holder:
        return _parameters(module, name)
    first, _, rest = holder.partition(".")
    for node in ast.walk(_tree(module)):
        for alias in node.names if isinstance(node, ast.Import | ast.ImportFrom) else ():
            if (alias.asname or alias.name) == first:
                root = f"{node.module}.{alias.name}" if isinstance(node, ast.ImportFrom) else alias.name
                return _parameters(f"{root}.{rest}".rstrip("."), name)
    return {}


def _class(module: str, name: str) -> tuple[str, ast.ClassDef | ast.FunctionDef] | None:
    """A class's or function's own module and syntax tree, found through the modules that import it."""
    tree = _tree(module)
    for node in tree.body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == name:
            return module, node
    for statement in tree.body:
        for alias in statement.names if isinstance(statement, ast.ImportFrom) else ():
            if (alias.asname or alias.name) == name and isinstance(statement, ast.ImportFrom):
                return _class(statement.module or "", alias.name)
    return None


@functools.cache
def _tree(module: str) -> ast.Module:
    """The syntax tree of a module of Keras or dltool, an empty one for others."""
    package, _, rest = module.partition(".")
    specification = importlib.util.find_spec(package) if package in ("keras", "dltool") else None
    for folder in (specification.submodule_search_locations or ()) if specification else ():
        stem = Path(folder, *rest.split(".")) if rest else Path(folder)
        for path in (stem.with_name(f"{stem.name}.py"), stem / "__init__.py"):
            if path.is_file():
                return ast.parse(path.read_text(encoding="utf-8"))
    return ast.Module(body=[], type_ignores=[])


@functools.cache
def metric_modes() -> dict[str, str]:
    """Name of a metric of Keras -> "max" where it is to rise, "min" where it is to fall, as its class says."""
    found = {"accuracy": "max", "acc": "max"}  # words that Model.compile resolves by the loss
    modules = {node.module for node in ast.walk(_tree("keras.metrics")) if isinstance(node, ast.ImportFrom)}
    for module in sorted(name for name in modules if name):
        for node in _tree(module).body:
            if not isinstance(node, ast.ClassDef):
                continue
            name = next((p.default for p in _own_arguments(node) if p.name == "name"), None)
            for item in ast.walk(node):
                if (
                    isinstance(item, ast.Assign)
                    and ast.unparse(item.targets[0]) == "self._direction"
                    and isinstance(name, str)
                ):
                    found[name] = "max" if _literal(item.value) == "up" else "min"
    return found


def _own_arguments(node: ast.ClassDef) -> list[inspect.Parameter]:
    for item in node.body:
        if isinstance(item, ast.FunctionDef) and item.name == "__init__":
            return list(_arguments(item.args))
    return []
