"""Arguments and options that several commands share, each stated once."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import fields, is_dataclass
from enum import StrEnum
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_args, get_type_hints

import typer

from dltool.cli import completion

Command = TypeVar("Command", bound=Callable[..., Any])


class Format(StrEnum):
    """How results are written: a table for people; CSV and JSON for programs."""

    table = "table"
    csv = "csv"
    json = "json"


class Device(StrEnum):
    """Where TensorFlow computes."""

    auto = "auto"
    cpu = "cpu"
    gpu = "gpu"


SOURCE = "A recipe's file, - for standard input, a bundled recipe's name, or a run directory."

RecipeArgument = Annotated[str, typer.Argument(help=SOURCE, autocompletion=completion.sources)]
SourceArgument = Annotated[str, typer.Argument(metavar="RECIPE|RUN", help=SOURCE, autocompletion=completion.sources)]
OverridesArgument = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[KEY=VALUE]...",
        help="Recipe values to replace: fit.epochs=5 model.1.Dense.units=64.",
        autocompletion=completion.overrides,
    ),
]
RunArgument = Annotated[Path, typer.Argument(metavar="RUN", help="A run directory.", autocompletion=completion.runs)]
FormatOption = Annotated[Format, typer.Option("--format", help="How results are written to stdout.")]
DeviceOption = Annotated[Device, typer.Option("--device", help="Where to compute; auto takes a GPU if there is one.")]
OverwriteOption = Annotated[bool, typer.Option("--overwrite", help="Replace what dltool wrote.")]
BatchSizeOption = Annotated[int | None, typer.Option("--batch-size", min=1, help="Examples at a time.")]
DropoutOption = Annotated[
    int | None,
    typer.Option(
        "--mc-dropout",
        metavar="N",
        min=1,
        help="Answer with the mean of N passes with dropout, in place of one without.",
    ),
]
PlotOption = Annotated[Path | None, typer.Option("--plot", help="Draw into a .png or .svg file.")]


def take_fields(panels: Callable[[], Mapping[str, str]] = dict) -> Callable[[Command], Command]:
    """Return a decorator that lets Typer see the fields of a command's dataclass parameters as options.

    The fields are annotated as options, with defaults; the command is given the objects.

    Args:
        panels: gives the panel of the help for fields by name.
    """

    def decorate(command: Command) -> Command:
        parameters: list[inspect.Parameter] = []
        kinds: dict[str, Any] = {}
        panel_of = panels()
        for parameter in inspect.signature(command, eval_str=True).parameters.values():
            if not is_dataclass(parameter.annotation):
                parameters.append(parameter)
                continue
            kinds[parameter.name] = kind = parameter.annotation
            hints = get_type_hints(kind, include_extras=True)
            for field in fields(kind):
                hint = _with_panel(hints[field.name], panel_of.get(field.name))
                parameters.append(parameter.replace(name=field.name, annotation=hint, default=field.default))

        @wraps(command)
        def take(**values: Any) -> Any:
            for name, kind in kinds.items():
                values[name] = kind(**{field.name: values.pop(field.name) for field in fields(kind)})
            return command(**values)

        take.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
            [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in parameters]
        )
        take.__annotations__ = {}
        return take  # type: ignore[return-value]

    return decorate


def _with_panel(hint: Any, panel: str | None) -> Any:
    """Return an annotation whose option stands in a panel of the help."""
    base, option = get_args(hint)
    option = copy(option)
    option.rich_help_panel = panel
    return Annotated[base, option]
