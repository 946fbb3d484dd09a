"""Own Python: public classes and architectures of files given by `--plugin` and of packages join the catalogue.

Which words a plugin has is read from its source; its code runs when a recipe's object is made of it, and only if the
user named the file on the command line or installed the package. A recipe or a run directory never makes code run.
"""

from __future__ import annotations

import functools
import hashlib
import importlib
import importlib.util
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dltool.errors import UsageError, one_line
from dltool.recipe import module_outlines, signatures
from dltool.tasks import base

GROUP = "dltool.plugins"  # the entry points of installed packages
HOME = "dltool_plugins"  # the package in whose name files are loaded
BASES = {  # kind -> the class that its classes derive from, and where it is found
    "layers": ("keras.layers", "Layer"),
    "losses": ("keras.losses", "Loss"),
    "metrics": ("keras.metrics", "Metric"),
    "callbacks": ("keras.callbacks", "Callback"),
    "constraints": ("keras.constraints", "Constraint"),
    "initializers": ("keras.initializers", "Initializer"),
    "optimizers": ("keras.optimizers", "Optimizer"),
    "regularizers": ("keras.regularizers", "Regularizer"),
    "datasets": ("dltool", "Dataset"),
    "schedules": ("dltool", "Schedule"),
    "objectives": ("dltool", "Objective"),
    "procedures": ("dltool", "Procedure"),
    "tasks": ("dltool", "Task"),
}
FUNCTIONS = "applications"  # the kind of functions with a capital letter, which return a model as Keras's own do
LONGEST_CHAIN = 20  # of parents; more is a circle


@dataclass(frozen=True)
class Plugin:
    """A module of own Python.

    Args:
        module: its name in Python.
        file: where its source is.
        package: the installed package that it belongs to and its version, None of a file that the user names.
    """

    module: str
    file: Path
    package: tuple[str, str] | None = None

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.file.read_bytes()).hexdigest()


_given: list[Plugin] = []  # the files that the user has named, in order


def use(paths: Sequence[Path]) -> None:
    """Let the public classes of files join the catalogue, in place of those of the files used before.

    Raises:
        UsageError: as `add`.
    """
    forget()
    add(paths)


def add(paths: Sequence[Path]) -> None:
    """Let the public classes of further files join the catalogue.

    Raises:
        UsageError: a file is missing, is no Python, or has no class that a recipe may name, or one of a name that
            another file has. None of the files joins then.
    """
    before = len(_given)
    try:
        for path in paths:
            plugin = Plugin(f"{HOME}.{path.stem}", path.absolute())
            if plugin not in _given:
                _check_file(path)
                _join(plugin, path)
    except UsageError:
        forget(_given[before:])
        raise


def _join(plugin: Plugin, path: Path) -> None:
    for other in _given:
        if other.module == plugin.module:
            raise UsageError(f"--plugin {path}: {other.file} has the same name. Rename one of them.")
    module_outlines.SOURCES[plugin.module] = plugin.file
    _given.append(plugin)
    _forget_words()
    own = words_of(plugin)
    for other in _given[:-1]:
        for kind, name in own & words_of(other):
            raise UsageError(f"--plugin {path}: {other.file} has {name} of the {kind} too. Rename one of them.")
    if not own and plugin.module not in {module for module, _ in commands().values()}:
        known = ", ".join(f"{module}.{name}" for module, name in BASES.values())
        adds = f"has no public class that a recipe may name, and no function {path.stem} that is a command"
        raise UsageError(f"--plugin {path}: {adds}. Derive a class from one of {known}.")


def forget(plugins: Sequence[Plugin] | None = None) -> None:
    """Forget files that were used, by default all."""
    for plugin in [*_given] if plugins is None else plugins:
        module_outlines.SOURCES.pop(plugin.module, None)
        sys.modules.pop(plugin.module, None)
        _given.remove(plugin)
    _forget_words()


def _forget_words() -> None:
    for kept in (base.find, _words, commands, module_outlines.find_source):
        kept.cache_clear()


def given() -> list[Plugin]:
    """Return the files that the user has named."""
    return [*_given]


def every() -> list[Plugin]:
    """Return the files that the user has named, then the modules of installed packages."""
    return [*_given, *installed()]


def kinds() -> list[str]:
    """Return the kinds that a plugin can add to."""
    return [*BASES, FUNCTIONS]


def words(kind: str) -> dict[str, str]:
    """Return the names of a kind that plugins add -> module; those of files come before those of packages."""
    return _words().get(kind, {})


def tasks() -> dict[str, Callable[[], Any]]:
    """Return the names of tasks that plugins add -> what gives the class."""

    def give(module: str, name: str) -> Any:
        return getattr(load(module), name)

    found = words("tasks")
    return {base.name_of(name): functools.partial(give, module, name) for name, module in found.items()}


base.elsewhere = tasks


@functools.cache
def commands() -> dict[str, tuple[str, str]]:
    """Return the commands that plugins add -> module, first sentence of the docstring.

    As in dltool itself, a file has a command if it defines a function of its own name; underscores read as hyphens.
    """
    found: dict[str, tuple[str, str]] = {}
    for plugin in every():
        name = plugin.module.rpartition(".")[2]
        definition = module_outlines.read(plugin.module).definitions.get(name)
        if definition is not None and not definition.is_class:
            found.setdefault(name.replace("_", "-"), (plugin.module, definition.line))
    return found


def kind_of(module: str, name: str) -> str | None:
    """Return the kind of a class by its parents, None if it derives from no class that recipes name."""
    roots = _roots()
    waiting = [(module, name)]
    for _ in range(LONGEST_CHAIN):
        if not waiting:
            return None
        place = signatures.locate(*waiting.pop(0))
        if place is None:
            continue
        home, definition = place
        own = next(key for key, one in module_outlines.read(home).definitions.items() if one is definition)
        if (home, own) in roots:
            return roots[home, own]
        waiting += [found for base in definition.bases if (found := signatures.where(home, base)) is not None]
    return None


def load(module: str) -> Any:
    """Return a plugin's module, whose code runs if it has not yet; its classes are registered with Keras.

    Raises:
        UsageError: the code fails.
    """
    plugin = next((one for one in every() if one.module == module), None)
    if plugin is None:
        return importlib.import_module(module)
    if module in sys.modules and plugin.package is None:
        return sys.modules[module]
    try:
        _load_backend(module)
        loaded = importlib.import_module(module) if plugin.package is not None else _run(plugin)
    except Exception as error:
        sys.modules.pop(module, None)
        line = _line_in(plugin.file, error)
        raise UsageError(f"{plugin.file}{line}: {type(error).__name__}: {one_line(error)}") from error
    _register(loaded, plugin)
    return loaded


def load_saved_objects() -> None:
    """Run the files that the user has named, whose classes a saved model may hold; packages follow when one does."""
    from dltool.data.formats import saved_models

    light = {"datasets", "objectives", "procedures", "schedules", "tasks"}
    for plugin in _given:
        if any(kind not in light for kind, _ in words_of(plugin)):
            load(plugin.module)
    saved_models.load_elsewhere = _load_installed


def _load_installed(module: str) -> None:
    """Run a module if it is of an installed package."""
    if any(plugin.module == module for plugin in installed()):
        load(module)


@functools.cache
def installed() -> tuple[Plugin, ...]:
    """Return the modules that installed packages name as plugins; of a package its public modules too."""
    from importlib import metadata

    found: list[Plugin] = []
    for entry in metadata.entry_points(group=GROUP):
        package = (entry.dist.name, entry.dist.version) if entry.dist is not None else (entry.module, "")
        file = module_outlines.find_source(entry.module)
        if file is None:
            continue
        found.append(Plugin(entry.module, file, package))
        if file.name == "__init__.py":
            below = sorted(file.parent.glob("[!_]*.py"))
            found += [Plugin(f"{entry.module}.{path.stem}", path, package) for path in below]
    return tuple(found)


@functools.cache
def _words() -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for plugin in every():
        for kind, name in words_of(plugin):
            found.setdefault(kind, {}).setdefault(name, plugin.module)
    return found


def words_of(plugin: Plugin) -> set[tuple[str, str]]:
    """Return the kind and the name of each word that a plugin has."""
    found = set()
    for name, definition in module_outlines.read(plugin.module).definitions.items():
        if not name[0].isupper() or definition.is_abstract:
            continue
        kind = kind_of(plugin.module, name) if definition.is_class else FUNCTIONS
        if kind is not None:
            found.add((kind, name))
    return found


@functools.cache
def _roots() -> dict[tuple[str, str], str]:
    """Return the module and name where a base class is defined -> kind."""
    found: dict[tuple[str, str], str] = {}
    for kind, (module, name) in BASES.items():
        place = signatures.locate(module, name)
        if place is not None:
            home, definition = place
            own = next(key for key, one in module_outlines.read(home).definitions.items() if one is definition)
            found[home, own] = kind
    return found | {("dltool.library.layers._wiring", "Composite"): "layers"}


def _check_file(path: Path) -> None:
    try:
        source = path.read_bytes()
        compile(source, str(path), "exec", dont_inherit=True)
    except OSError as error:
        raise UsageError(f"--plugin {path}: cannot be read: {error.strerror}.") from error
    except SyntaxError as error:
        raise UsageError(f"--plugin {path}:{error.lineno or 1}: is no Python: {error.msg}.") from error
    except ValueError as error:
        raise UsageError(f"--plugin {path}: is no Python: {one_line(error)}.") from error
    if path.suffix != ".py" or not path.stem.isidentifier():
        raise UsageError(f"--plugin {path}: must be a Python file named by letters, digits and _, my_layers.py.")


def _load_backend(module: str) -> None:
    """Load Keras quietly before a module that imports it, itself or by a package that it is in."""
    parts = module.split(".")
    for name in (".".join(parts[: end + 1]) for end in range(len(parts))):
        if {"keras", "tensorflow"} & {
            other.partition(".")[0] for other, _ in module_outlines.read(name).imports.values()
        }:
            from dltool.training import backend

            backend.load()
            return


def _run(plugin: Plugin) -> Any:
    """Run a file as a module of the package `HOME`."""
    specification = importlib.util.spec_from_file_location(plugin.module, plugin.file)
    assert specification is not None and specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    sys.modules[plugin.module] = module
    writes, sys.dont_write_bytecode = sys.dont_write_bytecode, True  # a run directory holds what dltool wrote
    try:
        specification.loader.exec_module(module)
    finally:
        sys.dont_write_bytecode = writes
    return module


def _register(module: Any, plugin: Plugin) -> None:
    """Register a plugin's classes with Keras, so that a saved model names them by the file and not by chance."""
    from dltool.data.formats import saved_models

    saved_models.trust(module.__name__ if plugin.package is None else module.__name__.partition(".")[0])
    if "keras" not in sys.modules:
        return
    import keras

    for value in [*vars(module).values()]:
        is_own = isinstance(value, type) and value.__module__ == module.__name__ and hasattr(value, "get_config")
        if is_own and keras.saving.get_registered_name(value) == value.__name__:  # not registered yet
            keras.saving.register_keras_serializable(module.__name__.rpartition(".")[2])(value)


def place_in(error: BaseException, even_if_said: bool = False) -> str:
    """Return "FILE:LINE: KIND: ", where an exception passed last through own Python; empty if it passed through none.

    Args:
        even_if_said: also of a `ValueError` that own Python raises itself, which says what was wrong with a value.
    """
    files = {plugin.file for plugin in every()}
    seen: list[BaseException] = []
    one: BaseException | None = error
    while one is not None and one not in seen:
        seen.append(one)
        lines = {file: line for file in files if (line := _line_in(file, one))}
        if lines:
            is_said = isinstance(one, ValueError) and _last_file(one) in {str(file) for file in lines}
            if is_said and not even_if_said:
                return ""
            file, line = next(iter(lines.items()))
            return f"{file}{line}: {type(one).__name__}: "
        one = one.__cause__ or one.__context__
    return ""


def _last_file(error: BaseException) -> str | None:
    """Return the file whose code raised an exception."""
    file, frame = None, error.__traceback__
    while frame is not None:
        file, frame = frame.tb_frame.f_code.co_filename, frame.tb_next
    return file


def _line_in(file: Path, error: BaseException) -> str:
    """Return ":LINE" of the last line of a file that an exception passed through."""
    line, frame = "", error.__traceback__
    while frame is not None:
        if frame.tb_frame.f_code.co_filename == str(file):
            line = f":{frame.tb_lineno}"
        frame = frame.tb_next
    return line
