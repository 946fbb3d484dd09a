"""dltool plot: pictures of runs side by side, with a table of what they show."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dltool.cli import completion
from dltool.cli.options import Device, DeviceOption, Format, FormatOption, OverwriteOption
from dltool.errors import Mistakes, UsageError, messages
from dltool.output.files import PICTURES, check_target, output
from dltool.runs import plots
from dltool.runs.plots import Options


def _kinds(incomplete: str) -> list[str]:
    return [name for name in plots.kinds() if name.startswith(incomplete)]


def plot(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN", help="Run directories.", autocompletion=completion.runs)],
    what: Annotated[
        str,
        typer.Option(
            "--what",
            help="trajectory: two weights' path over the contours of the loss, as WeightTrajectory recorded it. "
            "boundary: regions of a classifier of two inputs. cone: feasible weights of a perceptron of two "
            "weights. gradients: squared error against cross-entropy. curve: a regression of one input. weights: a "
            "layer's kernel. loss: histories on one axis. inputs: images behind layers for preprocessing. codes: a "
            "layer of two units, with two principal components. activations: an activation function and its "
            "derivative. transforms: where a spatial transformer looks. precision: of a detector, over recall.",
            autocompletion=_kinds,
        ),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="The picture: FILE.png or FILE.svg.")],
    weights: Annotated[
        str | None, typer.Option("--weights", metavar="X,Y", help="Of a trajectory: the weights across and up.")
    ] = None,
    layer: Annotated[
        str | None, typer.Option("--layer", help="The layer whose weights, outputs or activation are drawn.")
    ] = None,
    figure: Annotated[str | None, typer.Option("--figure", help="The column of history.csv. Default: loss.")] = None,
    over: Annotated[
        str | None, typer.Option("--over", help="The axis of histories: epoch, step or seconds. Default: epoch.")
    ] = None,
    overwrite: OverwriteOption = False,
    form: FormatOption = Format.table,
    device: DeviceOption = Device.auto,
) -> None:
    """Draw runs side by side: weights' paths, boundaries, fitted curves, weights, losses, inputs, activations."""
    options = Options(weights, layer, figure, over)
    mistakes = Mistakes()
    with mistakes:
        plots.check(what, options)
    with mistakes:
        check_target("--out", out, overwrite, PICTURES)
    mistakes.finish()
    from dltool.runs import opened
    from dltool.runs.opened import OpenedRun

    chosen = [OpenedRun(path) for path in runs]
    if len({run.directory.path.resolve() for run in chosen}) < len(chosen):
        raise UsageError("RUN: the same run is named twice.")
    for run in chosen:
        run.recipe  # noqa: B018 - damaged files are reported before TensorFlow is loaded
    if what != "loss":
        opened.configure(chosen, device)
    import pandas as pd

    from dltool.output import tables

    with output(out) as file:
        rows = plots.find(what).draw(chosen, options, file, out.suffix.lower().lstrip("."))
    messages.write(tables.render({"plotted": pd.DataFrame(rows)}, form))
