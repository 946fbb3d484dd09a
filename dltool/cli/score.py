"""dltool score: how probable a language model finds a text."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from dltool.cli.options import Device, DeviceOption, Format, FormatOption, RunArgument
from dltool.errors import messages
from dltool.output import tables
from dltool.output.tables import Rows

STDIN = "-"


def score(
    run: RunArgument,
    file: Annotated[str, typer.Argument(metavar="FILE", help="A text, plain or .gz; - reads standard input.")] = STDIN,
    form: FormatOption = Format.table,
    device: DeviceOption = Device.auto,
) -> None:
    """Score a text by a language model: nats and bits per character, perplexity per token."""
    from dltool.runs.language_model import LanguageModel
    from dltool.runs.opened import OpenedRun

    model = LanguageModel(OpenedRun(run), device)
    name = "standard input" if file == STDIN else file
    row = model.score(_read(file, name), name)
    messages.write(tables.render({"score": Rows.of([row])}, form))


def _read(file: str, name: str) -> str:
    """Return the text of a file or of standard input."""
    from dltool.data.formats import text_decoding
    from dltool.recipe.data import reading

    with reading():
        if file == STDIN:
            return text_decoding.decoded(sys.stdin.buffer.read(), name)
        return text_decoding.read(Path(file))
