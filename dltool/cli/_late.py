"""The commands eval, generate, score and translate, until their bodies have found their rooms."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dltool.cli import completion
from dltool.cli.options import BatchSizeOption, Device, DeviceOption, Format, FormatOption, OverwriteOption
from dltool.errors import messages


def eval(
    runs: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUN", help="Run directories; several are also averaged.", autocompletion=completion.runs
        ),
    ],
    split: Annotated[
        str | None,
        typer.Option("--split", help="train, validation, test or all. Default: test where there is one."),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option("--data", help="Other data than the run's: 'Csv: {path: new.csv, target: y}'."),
    ] = None,
    require: Annotated[
        list[str] | None,
        typer.Option(
            "--require",
            help="A condition on every row, 'accuracy>=0.97', or their average, 'mean:accuracy>=0.97'; else status 3.",
        ),
    ] = None,
    predictions: Annotated[
        Path | None,
        typer.Option(
            "--predictions",
            help="Write a CSV row an example: its file or row, target, prediction and probabilities by class name; "
            "of several runs, their average's.",
        ),
    ] = None,
    per_class: Annotated[
        bool,
        typer.Option("--per-class", help="With --format csv: figures of each class in place of the scores."),
    ] = False,
    confusion: Annotated[bool, typer.Option("--confusion", help="Add the confusion matrix; alone in CSV.")] = False,
    overwrite: OverwriteOption = False,
    batch_size: BatchSizeOption = None,
    form: FormatOption = Format.table,
    device: DeviceOption = Device.auto,
) -> None:
    """Evaluate runs: loss and metrics, figures a class, confusion; several runs also averaged."""
    from dltool.cli import eval as command

    command.run(
        runs,
        split=split,
        data=data,
        require=require or [],
        predictions=predictions,
        per_class=per_class,
        confusion=confusion,
        overwrite=overwrite,
        batch_size=batch_size,
        form=form,
        device=device,
        write=messages.write,
        say=messages.say,
    )
