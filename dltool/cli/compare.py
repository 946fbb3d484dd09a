"""dltool compare: runs side by side, by figures that stand in them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dltool.cli import completion
from dltool.cli.options import BatchSizeOption, Device, DeviceOption, Format, FormatOption
from dltool.errors import messages


def compare(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN", help="Run directories.", autocompletion=completion.runs)],
    figure: Annotated[
        str | None,
        typer.Option("--figure", help="Such as loss or macro_f1. Default: the first metric that all runs have."),
    ] = None,
    sort: Annotated[
        str | None, typer.Option("--sort", metavar="COLUMN", help="Rising by a column; -COLUMN: falling.")
    ] = None,
    batch_size: BatchSizeOption = None,
    form: FormatOption = Format.table,
    device: DeviceOption = Device.auto,
) -> None:
    """Compare runs: a figure by split, the gap between training and test, epochs, parameters, seconds.

    Figures come from each run's metrics.json, without TensorFlow. One that is not there is evaluated, as by eval.
    """
    from dltool.output import tables
    from dltool.output.tables import Rows
    from dltool.runs.comparison import Comparison

    rows = Comparison(figure, sort, batch_size, device).rows(runs)
    messages.write(tables.render({"compared": Rows.of(rows)}, form))
