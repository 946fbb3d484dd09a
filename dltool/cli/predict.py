"""dltool predict: answers of runs to new examples, without targets."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dltool.cli import completion
from dltool.cli.options import BatchSizeOption, Device, DeviceOption, DropoutOption, OverwriteOption
from dltool.errors import DataError, UsageError, messages

if TYPE_CHECKING:
    import pandas as pd


class Format(StrEnum):
    """How answers are written."""

    csv = "csv"
    json = "json"
    coco = "coco"
    table = "table"


DECIMALS = 15  # of numbers in JSON, as many as pandas writes


def predict(
    arguments: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN... [INPUT]...",
            help="Run directories, which answer together, then files, folders, patterns or archives; - or nothing: "
            "standard input.",
            autocompletion=completion.runs,
        ),
    ],
    data: Annotated[
        str | None, typer.Option("--data", help="In place of inputs, as in a recipe: 'Csv: {path: new.csv}'.")
    ] = None,
    top: Annotated[int, typer.Option("--top", min=1, help="Number of answers per example, the likeliest first.")] = 1,
    every: Annotated[bool, typer.Option("--probabilities", help="A probability for each class instead.")] = False,
    explain: Annotated[
        bool, typer.Option("--explain", help="Columns of how layers came to the answer, such as where they look.")
    ] = False,
    sliding: Annotated[
        bool, typer.Option("--map", help="Slide a classifier over larger pictures: the classes at each position.")
    ] = False,
    to: Annotated[str | None, typer.Option("--to", help="The language to translate into.")] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="A folder for pictures: masks, maps, or images with the boxes found."),
    ] = None,
    passes: DropoutOption = None,
    overwrite: OverwriteOption = False,
    batch_size: BatchSizeOption = None,
    form: Annotated[
        Format,
        typer.Option(
            "--format", help="csv, json (an object a line), coco (boxes in one array), or a table for people."
        ),
    ] = (Format.csv),
    device: DeviceOption = Device.auto,
) -> None:
    """Answer new examples with what runs have learned: pictures, rows, arrays or lines, in their order.

    An input that cannot be read is left out with a line on stderr, and the status is 5 in the end.
    """
    from dltool.data.inputs.base import STDIN
    from dltool.runs.predict import Predictor, split_arguments
    from dltool.tasks.base import Asked

    runs, inputs = split_arguments(arguments)
    if data is not None and inputs:
        raise UsageError(f"--data: there are inputs already ({inputs[0]}). Give one of them.")
    if not inputs and data is None:
        if sys.stdin is None or sys.stdin.isatty():
            raise UsageError("give inputs after the run: files, folders, or - for standard input")
        inputs = [STDIN]
    left_out: list[str] = []

    def leave_out(line: str) -> None:
        left_out.append(line)
        messages.say(line)

    predictor = Predictor(runs, device, batch_size, Asked(top, every, to, out, overwrite, explain, sliding), passes)
    stdin = sys.stdin.buffer if sys.stdin is not None else None
    tables = predictor.answers(inputs, leave_out, data, stdin)
    coco = partial(predictor.task.coco_results, facts=runs[0].facts)
    if form == Format.coco:
        coco([])  # raises where answers are no boxes
    count = _write(tables, form, coco)
    if left_out:
        raise DataError(f"{len(left_out)} of {len(left_out) + count} inputs could not be read and were left out")


def _write(tables: Iterator[pd.DataFrame], form: Format, to_coco: Callable[[list[Any]], list[Any]] = list) -> int:
    """Write tables of answers to stdout as they come; return how many examples were answered."""
    from dltool.output import tables as rendering

    count, kept, is_first = 0, [], True
    for table in tables:
        if form == Format.coco:
            lines = [json.dumps(one, ensure_ascii=False) for one in to_coco(table.to_dict("records"))]
            if lines:
                messages.write(("[" if is_first else ",") + ",\n".join(lines))
            is_first &= not lines
        elif form == Format.table:
            kept.append(table)
        elif form == Format.json and len(table):
            messages.write(table.to_json(orient="records", lines=True, force_ascii=False, double_precision=DECIMALS))
        elif form == Format.csv:
            messages.write(table.to_csv(index=False, header=is_first, lineterminator="\n"))
            is_first = False
        count += table.attrs.get("examples", len(table))
    if form == Format.coco:
        messages.write("[]\n" if is_first else "]\n")
    if kept:
        import pandas as pd

        messages.write(rendering.render({"answers": pd.concat(kept, ignore_index=True)}, "table"))
    return count
