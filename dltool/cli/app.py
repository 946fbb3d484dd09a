"""The command line: finds the modules of the commands, runs the one that is asked for, reports its errors."""

from __future__ import annotations

import errno
import os
import re
import signal
import sys
import warnings
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperCommand, TyperGroup

from dltool import __version__, cli
from dltool.cli import old_flags, own_python, quick_start
from dltool.cli.command_class import Command, usage_line
from dltool.errors import DltoolError, Terminated, UsageError, messages, one_line, suggest
from dltool.errors.control_characters import visible, visible_lines

DEFINITION = r'^def %s\((?:[^"]|"(?!""))*?"""(.*?)(?:""")?$'  # of a function and the first line of its docstring

quick_start.use()


def find_commands() -> dict[str, str]:
    """Return command -> first line of its help, read off the text of this folder's files; nothing is imported.

    A file is a command if it defines a function of its own name; underscores read as hyphens.
    """
    files = [path for folder in cli.__path__ for path in Path(folder).glob("[!_]*.py")]
    texts = {path.stem: path.read_text(encoding="utf-8") for path in files}
    found = {name: re.search(DEFINITION % name, text, re.MULTILINE) for name, text in sorted(texts.items())}
    return {name.replace("_", "-"): match[1] or "" for name, match in found.items() if match is not None}


class Commands(TyperGroup):
    """The commands by name; a command's module is imported when the command is run or asked for its help."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.commands = {name: TyperCommand(name, help=line) for name, line in find_commands().items()}

    def list_commands(self, ctx: Any) -> list[str]:
        """Return dltool's commands, then those of plugins."""
        return [*self.commands, *sorted(own_python.commands())]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return a command with its name and one line only, None if there is none."""
        if cmd_name in self.commands:
            return self.commands[cmd_name]
        line = own_python.commands().get(cmd_name)
        return None if line is None else TyperCommand(cmd_name, help=line)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Return the name, the command with its options, and its arguments."""
        args = old_flags.replace(args)
        if args[0] not in self.commands and not args[0].startswith("-"):
            own_python.use_early(args)  # the command may be that of a file named behind it
            if self.get_command(ctx, args[0]) is None and not ctx.resilient_parsing:
                near = suggest(args[0], self.list_commands(ctx))
                raise UsageError(f"No such command '{args[0]}'.{near} See 'dltool --help'.")
        name, command, rest = super().resolve_command(ctx, args)
        return name, command and self._import(str(name)), rest

    def _import(self, name: str) -> Any:
        """Make a command of its module; the functions in the module's BELOW become commands below it."""
        stem = name.replace("-", "_")
        module = import_module(f"dltool.cli.{stem}") if name in self.commands else own_python.load_command(name)
        function, below = getattr(module, stem), getattr(module, "BELOW", ())
        app = typer.Typer(name=name, add_completion=False, pretty_exceptions_enable=False)
        if below:
            app.callback(invoke_without_command=True)(function)
        for each in below or (function,):
            app.command(None if below else name, cls=Command)(each)
        made = typer.main.get_command(app)
        shared = [parameter for parameter in self.params if parameter.name in ("traceback", "plugin")]
        for each in [made, *getattr(made, "commands", {}).values()]:
            each.params += shared
        return made


app = typer.Typer(
    name="dltool",
    cls=Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(asked: bool) -> None:
    if asked:
        typer.echo(f"dltool {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
    traceback: Annotated[
        bool,
        typer.Option("--traceback", help="Show Python's traceback with an error.", is_eager=True, expose_value=False),
    ] = False,
    plugin: Annotated[
        list[Path] | None,
        typer.Option(
            "--plugin",
            metavar="FILE.py",
            help="Own Python, whose classes recipes may name; may be repeated.",
            is_eager=True,
            expose_value=False,
            callback=own_python.use,
        ),
    ] = None,
) -> None:
    """A deep-learning course, runnable from a shell: recipes in, trained and evaluated models out."""


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line; every error ends in one line on stderr and its exit status.

    Args:
        arguments: by default the process's.
    """
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    warnings.formatwarning = _format_warning
    if signal.getsignal(signal.SIGTERM) is not signal.SIG_IGN:
        signal.signal(signal.SIGTERM, _terminate)
    messages.begin()
    try:
        status: Any = _run(arguments)
        if status == 130:  # typer's status for Ctrl-C
            messages.say("interrupted")
    except BaseException as error:
        status = _report(error)
    messages.show_status(False)
    sys.exit(status if isinstance(status, int) else 0)


def _run(arguments: Sequence[str]) -> Any:
    """Return the command's status; under --traceback an error is also shown in full."""
    if not arguments or {"--help", "-h"} & {*arguments}:
        quick_start.import_help()
    try:
        return app(arguments, standalone_mode=False, prog_name="dltool")
    except BaseException:
        messages.clear()
        if "--traceback" in arguments:
            from traceback import format_exc

            print(visible_lines(format_exc()), file=sys.stderr)
        raise


def _report(error: BaseException) -> Any:
    """Write an error to stderr; return the exit status."""
    if isinstance(error, SystemExit):
        return error.code
    if isinstance(error, DltoolError):
        messages.say(str(error))
        return error.status
    error = _signal_in(error) or error
    if isinstance(error, KeyboardInterrupt | typer.Abort):
        messages.say("interrupted")
        return 130
    if isinstance(error, Terminated):
        messages.say("terminated")
        return 143
    if isinstance(error, BrokenPipeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # whoever read stdout has left
        return 141
    if type(error).__name__ == "NoArgsIsHelpError":  # typer has shown the help
        return 2
    if hasattr(error, "format_message"):  # typer's usage errors
        context = getattr(error, "ctx", None)
        command = context.command_path if context is not None else "dltool"
        messages.say(visible(usage_line(error.format_message(), command)))
        return 2
    if isinstance(error, OSError) and error.errno == errno.ENAMETOOLONG:
        messages.say(visible(f"{error.filename}: {error.strerror}"))
        return 2
    if isinstance(error, MemoryError):
        messages.say("out of memory")
        return 1
    if not isinstance(error, Exception):
        raise error
    if place := own_python.place_in(error):
        messages.say(f"{visible(place + one_line(error))}\n--traceback shows how it came there.")
        return 1
    remedy = "This is a fault of dltool: please report it with --traceback."
    messages.say(f"{type(error).__name__}: {error}\n{remedy}")
    return 1


def _format_warning(
    message: Warning | str, category: type[Warning], filename: str, lineno: int, line: str | None = None
) -> str:
    """Return a warning as Python shows it, without the line of code; Keras's may quote what a file holds."""
    return f"{filename}:{lineno}: {category.__name__}: {visible_lines(str(message))}\n"


def _signal_in(error: BaseException) -> BaseException | None:
    """Return the signal that an error was raised for: an extension that is being imported wraps it in ImportError."""
    found: BaseException | None = error
    while found is not None and not isinstance(found, KeyboardInterrupt | Terminated):
        found = found.__cause__ or found.__context__
    return found


def _terminate(number: int, frame: Any) -> None:
    raise Terminated
