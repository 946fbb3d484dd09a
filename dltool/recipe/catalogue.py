"""The words of recipes: kind and name -> class or function, arguments and one line; dltool's own first, then Keras's.

Everything but the classes themselves comes from their source (`signatures`), so that neither Keras nor TensorFlow is
imported to find what a recipe has misspelt.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dltool.errors import UsageError
from dltool.recipe import module_outlines, plugins, signatures
from dltool.recipe.module_outlines import Argument
from dltool.recipe.signatures import Outline
from dltool.tasks import base as tasks

PACKAGE = Path(__file__).parents[1]
DEFINITION = re.compile(r"^(?:class|def) (\w+)", re.MULTILINE)  # of a module's own class or function

# A kind is a folder of dltool and a namespace of Keras; either may be missing.
KERAS_NAMESPACES = {
    "activations": ("keras.activations", "keras.layers"),
    "applications": ("keras.applications",),
    "callbacks": ("keras.callbacks",),
    "constraints": ("keras.constraints",),
    "initializers": ("keras.initializers",),
    "layers": ("keras.layers",),
    "losses": ("keras.losses",),
    "metrics": ("keras.metrics",),
    "optimizers": ("keras.optimizers",),
    "regularizers": ("keras.regularizers",),
}
WITHOUT_USE = frozenset({  # base classes, and what does nothing in a recipe
    "Callback", "CallbackList", "Constraint", "Initializer", "InputSpec", "Layer", "LearningRateSchedule",
    "Loss", "Metric", "Optimizer", "Regularizer", "Wrapper",
})  # fmt: skip
KINDS = (*KERAS_NAMESPACES, "datasets", "objectives", "procedures", "schedules")
LIGHT = ("datasets", "schedules")  # kinds whose classes load without Keras
WITH_WORDS = ("activations", "initializers", "losses", "metrics")  # kinds of which Keras lists lower-case names
BY_WORD = (*WITH_WORDS, "regularizers", "constraints", "optimizers")  # kinds whose lower-case names Keras takes
METRIC_WORDS = ("accuracy", "acc", "crossentropy", "ce")  # Model.compile resolves these by the loss
NO_WORDS = frozenset({"Constant"})  # classes with defaults that Keras's `get` can't make all the same
PLUMBING = frozenset({"deserialize", "get", "serialize"})
KERAS_ELSEWHERE = {("layers", "FeatureSpace"): "keras.utils"}
REFUSED = {
    ("layers", "Input"): "the data give the input's shape. Remove it.",
    ("layers", "InputLayer"): "the data give the input's shape. Remove it.",
    ("layers", "Lambda"): "a Lambda holds Python code, which a recipe can't. Write a layer of your own: --plugin.",
    ("layers", "FlaxLayer"): "it takes Python functions. Write a layer of your own: --plugin.",
    ("layers", "JaxLayer"): "it takes Python functions. Write a layer of your own: --plugin.",
    ("layers", "TorchModuleWrapper"): "it takes a PyTorch module. Write a layer of your own: --plugin.",
    ("layers", "TFSMLayer"): "it runs the code of a SavedModel. Write a layer of your own: --plugin.",
    ("callbacks", "LearningRateScheduler"): "it takes a Python function. Give the optimizer a schedule.",
    ("callbacks", "LambdaCallback"): "it takes Python functions. Write a callback of your own: --plugin.",
    ("callbacks", "BackupAndRestore"): "dltool keeps the whole training state itself: dltool train --resume.",
}


class UnknownNameError(LookupError):
    """There is no such name; `known` lists those of the kind."""

    def __init__(self, kind: str, name: str, known: list[str], reason: str = "") -> None:
        super().__init__(reason or f"no {singular(kind)} named '{name}'")
        self.known = [] if reason else known


@dataclass(frozen=True)
class Word:
    """The catalogue's entry for a name.

    Args:
        kind: such as "layers".
        name: the class's or function's.
        module: where it can be imported from.
        line: the first sentence of its docstring.
        arguments: what a recipe may give it, by name.
    """

    kind: str
    name: str
    module: str
    line: str
    arguments: Mapping[str, Argument]


def find(kind: str, name: str) -> Any:
    """Return the class (or, for activations and applications, the function) of a kind and name.

    Raises:
        UnknownNameError: neither dltool nor Keras has it.
    """
    module = _module(kind, name)
    is_plugin = plugins.words(kind).get(name) == module
    return getattr(plugins.load(module) if is_plugin else importlib.import_module(module), name)


def outline(kind: str, name: str) -> Any:
    """Return as `find` does, but an `Outline` in the place of what would need Keras or run a plugin.

    Raises:
        UnknownNameError: neither dltool nor Keras has it.
    """
    module = _module(kind, name)
    if kind in LIGHT and name in own(kind):
        return find(kind, name)
    parameters = signatures.parameters(module, name)
    if kind == "applications" and module == _keras(kind).get(name):  # what `with_preprocessing` adds
        parameters.append(inspect.Parameter("preprocessing", inspect.Parameter.KEYWORD_ONLY, default=None))
    return Outline(name, inspect.Signature(parameters))


def find_light(kind: str, name: str) -> Any:
    """Return as `outline` does, but plugins' datasets and schedules themselves: their code runs.

    Raises:
        UnknownNameError: neither dltool nor Keras has it.
    """
    return (find if kind in LIGHT else outline)(kind, name)


def describe(kind: str, name: str) -> Word:
    """Return what the catalogue says of a name.

    Raises:
        UnknownNameError: neither dltool nor Keras has it.
    """
    module = _module(kind, name)
    arguments = signatures.arguments(module, name)
    return Word(kind, name, module, signatures.first_line(module, name), arguments)


def has(kind: str, name: str) -> bool:
    return name in own(kind) or name in _keras(kind) or name in plugins.words(kind)


def known(kind: str) -> list[str]:
    """Every name of a kind."""
    refused = {name for refused_kind, name in REFUSED if refused_kind == kind}
    return sorted(({*own(kind), *_keras(kind), *plugins.words(kind)}) - refused)


def words(kind: str) -> list[str]:
    """Return Keras's lower-case names of a kind: relu, mean_squared_error, he_normal."""
    if kind not in WITH_WORDS:
        return []
    names = module_outlines.read(f"keras.{kind}").imports
    return sorted(name for name in names if name[0].islower() and name not in PLUMBING)


def taken(kind: str) -> list[str]:
    """Return every lower-case word of a kind that a recipe may write."""
    if kind == "metrics":
        return [*words(kind), *METRIC_WORDS]
    if kind == "optimizers":
        return sorted(_classes_by_word(kind))
    return words(kind) or sorted(word for word in (_words_taken(kind) if kind in BY_WORD else ()) if word.islower())


def is_word(kind: str, word: str) -> bool:
    """Return whether Keras knows a lower-case word of a kind: adam, relu, he_normal."""
    if kind == "optimizers":
        return word.lower() in _classes_by_word(kind)
    return kind in BY_WORD and word in _words_taken(kind)


def of_word(kind: str, word: str) -> Outline:
    """Return the outline of the class that a lower-case word stands for."""
    found = outline(kind, _classes_by_word(kind)[word.lower()])
    assert isinstance(found, Outline)
    return found


def singular(kind: str) -> str:
    return {"losses": "loss"}.get(kind, kind.removesuffix("s"))


@functools.cache
def own(kind: str) -> dict[str, str]:
    """dltool's names of a kind -> module, found in the text of the folder's files; nothing is imported or parsed.

    A file gives the public class or function whose lower-case name is the file's, underscores left out.
    """
    found = {}
    for path in sorted((PACKAGE / folder(kind)).glob("[!_]*.py")):
        for name in DEFINITION.findall(path.read_text(encoding="utf-8")):
            if name.lower() == path.stem.replace("_", ""):
                found[name] = f"dltool.{folder(kind).replace('/', '.')}.{path.stem}"
    return found


def folder(kind: str) -> str:
    """Return the folder of a kind's classes, relative to the package."""
    return {"procedures": "training/procedures", "tasks": "tasks"}.get(kind, f"library/{kind}")


def use_plugins(paths: Sequence[Path], add: bool = False) -> None:
    """Let the public classes of files of own Python join the catalogue.

    Args:
        add: whether in addition to those of the files used before.
    Raises:
        UsageError: as `plugins.add`, or a file has a class of a name that dltool or Keras has. None joins then.
    """
    before = plugins.given() if add else []
    (plugins.add if add else plugins.use)(paths)
    joined = [plugin for plugin in plugins.given() if plugin not in before]
    for plugin in joined:
        for kind, name in sorted(plugins.words_of(plugin)):
            is_own = _is_own_task(name) if kind == "tasks" else name in own(kind)
            if is_own or name in _keras(kind):
                plugins.forget(joined)
                whose = "dltool" if is_own else "Keras"
                raise UsageError(f"--plugin {plugin.file}: {whose} has the {singular(kind)} {name} too. Rename yours.")


def _is_own_task(name: str) -> bool:
    """Return whether dltool has a task of that name, which is a file; upper and lower case may differ."""
    return tasks.name_of(name) in {tasks.name_of(other) for other in own("tasks")}


def import_saved_objects() -> None:
    """Import dltool's layers and the like and those of plugins, so that Keras can load a model that holds them."""
    plugins.load_saved_objects()
    for kind in KERAS_NAMESPACES:
        for module in own(kind).values():
            importlib.import_module(module)


def _module(kind: str, name: str) -> str:
    """Return the module that a name is imported from.

    Raises:
        UnknownNameError: neither dltool nor Keras has it.
    """
    if (kind, name) in REFUSED:
        raise UnknownNameError(kind, name, [], f"{name} is not for recipes: {REFUSED[kind, name]}")
    module = own(kind).get(name) or _keras(kind).get(name) or plugins.words(kind).get(name)
    if module is None:
        raise UnknownNameError(kind, name, known(kind))
    return module


@functools.cache
def _keras(kind: str) -> dict[str, str]:
    """Return Keras's capitalised name -> the module that gives it, of the namespaces of a kind."""
    found: dict[str, str] = {}
    for namespace in KERAS_NAMESPACES.get(kind, ()):
        further = namespace != KERAS_NAMESPACES[kind][0]  # activations are also layers, but only some layers
        for name, (source, _) in module_outlines.read(namespace).imports.items():
            if further and not source.startswith(f"keras.src.{namespace.split('.')[1]}.{kind}."):
                continue
            if name[0].isupper() and name not in WITHOUT_USE:
                found.setdefault(name, namespace)
    return found | {name: module for (other, name), module in KERAS_ELSEWHERE.items() if other == kind}


@functools.cache
def _words_taken(kind: str) -> frozenset[str]:
    """Return what `keras.<kind>.get` takes: names of ALL_OBJECTS that need no argument, in snake case too, aliases."""
    namespace = f"keras.src.{kind}"
    module = module_outlines.read(namespace)
    objects = {name for name in module.objects if name not in NO_WORDS and not _needs_arguments(namespace, name)}
    in_snake_case = {_snake_case(name) for name in objects} if module.is_snake_case else set()
    return frozenset(objects | {*module.words} | in_snake_case)


def _needs_arguments(module: str, name: str) -> bool:
    place = signatures.locate(module, name)
    is_class = place is not None and place[1].is_class
    return is_class and any(one.default is None for one in signatures.arguments(module, name).values())


def _snake_case(name: str) -> str:
    """Return a name as `keras.src.utils.naming.to_snake_case` writes it."""
    name = re.sub(r"\W+", "", name)
    name = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub("([a-z])([A-Z])", r"\1_\2", name).lower()


@functools.cache
def _classes_by_word(kind: str) -> dict[str, str]:
    """Return lower-case word -> class, of the classes that Keras gathers in ALL_OBJECTS."""
    namespace = f"keras.src.{kind}"
    names = [name for name in module_outlines.read(namespace).objects if name not in WITHOUT_USE]
    return {name.lower(): name for name in names if not _needs_arguments(namespace, name)}
