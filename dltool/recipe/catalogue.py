"""(kind, name) -> class or function: dltool's own folders first, then Keras."""

from __future__ import annotations

import functools
import importlib
import inspect
import re
from pathlib import Path
from typing import Any

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
PLUMBING = frozenset({"deserialize", "get", "serialize"})
KERAS_ELSEWHERE = {("layers", "FeatureSpace"): "keras.utils"}
REFUSED = {
    ("layers", "Input"): "the data give the input's shape. Remove it.",
    ("layers", "InputLayer"): "the data give the input's shape. Remove it.",
    (
        "layers",
        "Lambda",
    ): "a Lambda holds Python code, which a recipe can't. Write a layer in dltool/library/layers/.",
    ("layers", "FlaxLayer"): "it takes Python functions. Write a layer in dltool/library/layers/.",
    ("layers", "JaxLayer"): "it takes Python functions. Write a layer in dltool/library/layers/.",
    ("layers", "TorchModuleWrapper"): "it takes a PyTorch module. Write a layer in dltool/library/layers/.",
    ("layers", "TFSMLayer"): "it runs the code of a SavedModel. Write a layer in dltool/library/layers/.",
    ("callbacks", "LearningRateScheduler"): "it takes a Python function. Give the optimizer a schedule.",
    ("callbacks", "LambdaCallback"): "it takes Python functions. Write a callback in dltool/library/callbacks/.",
    ("callbacks", "BackupAndRestore"): "dltool keeps the whole training state itself: dltool train --resume.",
}


class UnknownNameError(LookupError):
    """There is no such name; `known` lists those of the kind."""

    def __init__(self, kind: str, name: str, known: list[str], reason: str = "") -> None:
        super().__init__(reason or f"no {singular(kind)} named '{name}'")
        self.known = [] if reason else known


def find(kind: str, name: str) -> Any:
    """The class (or, for activations and applications, the function) of a kind and name.

    Raises:
        UnknownNameError: neither dltool nor Keras has it.
    """
    if (kind, name) in REFUSED:
        raise UnknownNameError(kind, name, [], f"{name} is not for recipes: {REFUSED[kind, name]}")
    module = own(kind).get(name)
    if module is not None:
        return getattr(importlib.import_module(module), name)
    found = _keras(kind).get(name)
    if found is None:
        raise UnknownNameError(kind, name, known(kind))
    return found


def has(kind: str, name: str) -> bool:
    return name in own(kind) or name in _keras(kind)


def known(kind: str) -> list[str]:
    """Every name of a kind."""
    refused = {name for refused_kind, name in REFUSED if refused_kind == kind}
    return sorted(({*own(kind), *_keras(kind)}) - refused)


def words(kind: str) -> list[str]:
    """Keras's lower-case names of a kind: relu, mean_squared_error, he_normal."""
    if kind not in ("activations", "initializers", "losses", "metrics"):
        return []
    wanted = inspect.isclass if kind == "initializers" else inspect.isfunction
    found = vars(importlib.import_module(f"keras.{kind}"))
    return sorted(name for name in found if wanted(found[name]) and name[0].islower() and name not in PLUMBING)


def is_word(kind: str, word: str) -> bool:
    """Whether Keras knows a lower-case word of a kind: adam, relu, he_normal."""
    if kind not in ("activations", "initializers", "regularizers", "constraints", "losses", "metrics", "optimizers"):
        return False
    try:
        importlib.import_module(f"keras.{kind}").get(word)
    except Exception:  # ValueError, TypeError, of a class that needs arguments KeyError
        return False
    return True


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
    return "training/procedures" if kind == "procedures" else f"library/{kind}"


def import_saved_objects() -> None:
    """Import dltool's layers and the like, so that Keras can load a model that holds them."""
    for kind in KERAS_NAMESPACES:
        for module in own(kind).values():
            importlib.import_module(module)


@functools.cache
def _keras(kind: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for namespace in KERAS_NAMESPACES.get(kind, ()):
        module = importlib.import_module(namespace)
        for name, value in vars(module).items():
            fits = inspect.isclass(value) or (kind == "applications" and inspect.isfunction(value))
            if namespace != KERAS_NAMESPACES[kind][0]:  # activations are also layers, but only some layers
                fits = fits and value.__module__.startswith(f"keras.src.{namespace.split('.')[1]}.{kind}.")
            if fits and name[0].isupper() and name not in found and name not in WITHOUT_USE:
                found[name] = value
    for (other, name), namespace in KERAS_ELSEWHERE.items():
        if other == kind:
            found[name] = getattr(importlib.import_module(namespace), name)
    return found
