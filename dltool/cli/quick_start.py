"""A command line that answers at once: imports of Typer that dltool does not need are left out.

Typer hands every value to one of Pydantic's adapters, and its help imports Markdown and syntax highlighting. Pydantic
alone takes a tenth of a second, the others half of that. A value that has its type already, such as a default or a
word where a word is wanted, comes out of an adapter unchanged, so that it need not go in; no help is in Markdown.
"""

from __future__ import annotations

import contextlib
import importlib
import sys
from collections.abc import Callable, Iterator
from enum import Enum
from types import ModuleType
from typing import Any

import typer.core

ELSEWHERE = object()  # stands for a value that Pydantic has to look at
UNUSED = {"rich.markdown": "Markdown", "rich.traceback": "Traceback"}  # module -> the name that typer.rich_utils takes


def use() -> None:
    """Make Typer coerce simple values without Pydantic; leave a Typer alone that coerces in another way."""
    core: Any = typer.core
    build = getattr(core, "build_runtime_param", None)
    if build is not None:
        core.build_runtime_param = lambda descriptor: _QuickParameter(descriptor, build)


def import_help() -> None:
    """Import the modules that write help, without those that only Markdown and tracebacks need."""
    with _imported_later(), contextlib.suppress(ImportError):
        importlib.import_module("typer.rich_utils")


class _QuickParameter:
    """A parameter's coercion that makes Typer's own only where it is needed.

    Args:
        descriptor: Typer's description of the parameter.
        build: makes Typer's own coercion of a description.
    """

    def __init__(self, descriptor: Any, build: Callable[[Any], Any]) -> None:
        self._descriptor, self._build = descriptor, build

    def coerce(self, value: Any, param: Any, ctx: Any) -> Any:
        if value is None:
            return () if param.multiple or param.nargs == -1 else None
        many = param.multiple or param.nargs == -1
        unchanged = quick(value, self._descriptor.annotation, self._descriptor.parameter_info, many)
        if unchanged is not ELSEWHERE:
            return unchanged
        return self._build(self._descriptor).coerce(value, param=param, ctx=ctx)


def quick(value: Any, annotation: Any, info: Any, many: bool = False) -> Any:
    """Return the value that Pydantic would make of one, or `ELSEWHERE` if that takes more than a look.

    Args:
        annotation: the parameter's type.
        info: Typer's description of the parameter: its bounds and its parser.
        many: whether it takes several values.
    """
    if info.parser is not None or info.clamp:
        return ELSEWHERE
    if many:
        if isinstance(value, list | tuple) and (not value or (annotation == list[str] and _all_text(value))):
            return list(value)
        return ELSEWHERE
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return _member(value, annotation)
    if annotation in (int, float) and type(value) is annotation:
        low = info.min is None or value >= info.min
        return value if low and (info.max is None or value <= info.max) else ELSEWHERE
    if annotation in (str, bool) and type(value) is annotation:
        return value
    return ELSEWHERE


def _member(value: Any, choices: type[Enum]) -> Any:
    if isinstance(value, choices):
        return value
    return next((choice for choice in choices if type(value) is str and choice.value == value), ELSEWHERE)


def _all_text(values: Any) -> bool:
    return all(type(value) is str for value in values)


class _Later(type):
    """A class that stands for one of a module that is imported when the class is used."""

    module: str

    def __call__(cls, *arguments: Any, **options: Any) -> Any:
        return cls._real()(*arguments, **options)

    def __getattr__(cls, name: str) -> Any:
        return getattr(cls._real(), name)

    def _real(cls) -> Any:
        return getattr(importlib.import_module(cls.module), cls.__name__)


@contextlib.contextmanager
def _imported_later() -> Iterator[None]:
    """Let the modules in `UNUSED` that are not there yet give stand-ins."""
    absent = {module: name for module, name in UNUSED.items() if module not in sys.modules}
    for module, name in absent.items():
        sys.modules[module] = ModuleType(module)
        setattr(sys.modules[module], name, _Later(name, (), {"module": module}))
    try:
        yield
    finally:
        for module in absent:
            del sys.modules[module]
