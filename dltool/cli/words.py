"""dltool words: what a recipe may name, with arguments, defaults and meanings."""

from __future__ import annotations

from typing import Annotated

import typer

from dltool.cli import completion
from dltool.cli.options import Format, FormatOption
from dltool.errors import messages


def words(
    asked: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[KIND] [NAME]",
            help="layers, Conv2D, or both. Default: the kinds.",
            autocompletion=completion.words,
        ),
    ] = None,
    form: FormatOption = Format.table,
) -> None:
    """List the words of recipes: kinds, the names of a kind, or a name's arguments; --plugin adds own ones."""
    from dltool.output import tables
    from dltool.recipe import module_outlines, word_tables

    report = word_tables.find(asked or [])
    module_outlines.keep()
    messages.write(tables.render(report, form, [*report][-1]))
