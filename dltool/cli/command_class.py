"""The class of a command: it reports all mistakes at once, in options, arguments and the recipe that they name."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import typer
from typer.core import TyperCommand

from dltool.errors import DltoolError, UsageError, messages

SOURCES = ("recipe", "source", "sources", "run", "runs", "arguments")  # parameters that name what a command reads
PATHS = (*SOURCES, "file")  # parameters of text that are paths


class Command(TyperCommand):
    """A command that shows what it reads while it begins, and reports all mistakes at once."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse arguments; where one is wrong, look for what else is.

        Raises:
            UsageError: a line each.
        """
        given = list(args)
        try:
            return super().parse_args(ctx, args)
        except typer.Exit:
            raise
        except Exception as error:
            if not hasattr(error, "format_message") or type(error).__name__ == "NoArgsIsHelpError":
                raise
            lines = list(dict.fromkeys(self._mistakes(ctx, given)))
            raise UsageError(*(lines or [_line(self, error)])) from error

    def invoke(self, ctx: Any) -> Any:
        """Run the command; a terminal shows at once what it begins with."""
        messages.show_status(not ctx.params.get("quiet"))
        source = next((ctx.params[name] for name in SOURCES if ctx.params.get(name)), "")
        named = " ".join(map(str, source)) if isinstance(source, list | tuple) else str(source)
        messages.status(f"{self.name} {named} ...")
        for name, value in ctx.params.items():
            if name not in PATHS and isinstance(value, list | tuple):
                ctx.params[name] = [_as_text(item) if type(item) is str else item for item in value]
            elif name not in PATHS and type(value) is str:
                ctx.params[name] = _as_text(value)
        return super().invoke(ctx)

    def _mistakes(self, ctx: Any, args: list[str]) -> Iterator[str]:
        """Yield the mistakes in each option and argument, then in the recipe that they name."""
        values: dict[str, Any] = {}
        while True:
            try:
                values, rest, _ = self.make_parser(ctx).parse_args(args=list(args))
                break
            except Exception as error:
                yield _line(self, error)
                kept = _without(args, getattr(error, "option_name", None))
                if len(kept) == len(args):
                    return
                args = kept
        good: dict[str, Any] = {}
        for parameter in self.get_params(ctx):
            if not parameter.is_eager:
                try:
                    good[parameter.name], rest = parameter.handle_parse_result(ctx, values, rest)
                except typer.Exit:
                    raise
                except Exception as error:
                    yield _line(self, error)
        source = good.get("recipe") or good.get("source")
        if isinstance(source, str) and "overrides" in {parameter.name for parameter in self.params}:
            yield from _of_recipe(source, good.get("overrides") or [])


def _as_text(argument: str) -> str:
    """Return an argument that is text, not a path: in the C locale Python leaves its bytes beyond ASCII as they are."""
    if argument.isascii() or not any(0xDC80 <= ord(character) <= 0xDCFF for character in argument):
        return argument
    try:
        return os.fsencode(argument).decode("utf-8")
    except UnicodeError:
        return argument


def _without(args: list[str], option: str | None) -> list[str]:
    """Return arguments without an unknown option and its value, if it has one that is no argument."""
    for index, argument in enumerate(args):
        if option is not None and argument.split("=")[0] == option:
            following = args[index + 1 : index + 2]
            has_value = "=" not in argument and following and not following[0].startswith("-")
            valued = has_value and index > 0 and "=" not in following[0]
            return args[:index] + args[index + (2 if valued else 1) :]
    return args


def _of_recipe(source: str, overrides: list[str]) -> Iterator[str]:
    """Yield the mistakes in a recipe and in the values to replace in it."""
    from dltool.recipe import build

    try:
        build.load_any(source, overrides)
    except UsageError as error:
        yield from str(error).splitlines()
    except DltoolError:  # of its data: there is more to mend first
        return


def _line(command: Command, error: Any) -> str:
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else f"dltool {command.name}"
    return usage_line(error.format_message(), path)


def usage_line(message: str, command: str) -> str:
    """Return typer's message about usage as one line that names the help."""
    return f"{' '.join(message.replace('Value error, ', '').split()).rstrip('.')}. See '{command} --help'."
