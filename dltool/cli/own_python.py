"""The option --plugin of every command, and commands that plugins add."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import typer

from dltool.errors import UsageError

OPTION = "--plugin"


def use(context: typer.Context, paths: list[Path] | None) -> None:
    """Let the classes of files join the catalogue: of `dltool --plugin F CMD` and of `dltool CMD --plugin F`.

    Raises:
        UsageError: a file is none that has something to add.
    """
    is_first = context.parent is None
    if not paths:
        if is_first and "dltool.recipe.plugins" in sys.modules:  # a command before this one, in the same process
            sys.modules["dltool.recipe.plugins"].forget()
        return
    from dltool.recipe import catalogue

    try:
        catalogue.use_plugins(paths, add=not is_first)
        _check_commands(paths)
    except UsageError:
        if not context.resilient_parsing:
            raise


def _check_commands(paths: Sequence[Path]) -> None:
    """Raise if a file has a command that dltool has: its own would run.

    Raises:
        UsageError: one has.
    """
    from dltool.cli.app import find_commands
    from dltool.recipe import plugins

    own = find_commands()
    for name, (module, _) in plugins.commands().items():
        path = next((path for path in paths if module.endswith(f".{path.stem}")), None)
        if name in own and path is not None:
            raise UsageError(f"--plugin {path}: dltool has the command {name} too. Rename file and function.")


def use_early(arguments: Sequence[str]) -> None:
    """Let the files that a command line names behind its command join: one of them may have that command."""
    follow = zip(arguments, [*arguments[1:], ""], strict=True)
    named = [value for option, value in follow if option == OPTION]
    named += [argument.partition("=")[2] for argument in arguments if argument.startswith(f"{OPTION}=")]
    if named:
        from dltool.recipe import catalogue

        with contextlib.suppress(UsageError):  # the option itself reports it
            catalogue.use_plugins([Path(name) for name in named], add=True)


def commands() -> dict[str, str]:
    """Return command -> first line of its help, of the plugins."""
    from dltool.recipe import plugins

    return {name: line for name, (_, line) in plugins.commands().items()}


def load_command(name: str) -> Any:
    """Return the module that has a plugin's command, its code run.

    Raises:
        UsageError: the code fails.
    """
    from dltool.recipe import plugins

    return plugins.load(plugins.commands()[name][0])


def place_in(error: BaseException) -> str:
    """Return "FILE:LINE: KIND: ", where an error passed last through own Python; empty if it passed through none."""
    from dltool.recipe import plugins

    return plugins.place_in(error, even_if_said=True)
