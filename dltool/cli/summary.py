"""dltool summary: shapes and costs of each layer of a recipe's or a run's model."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Any

import typer

from dltool.cli.options import Format, FormatOption, OverridesArgument, OverwriteOption, SourceArgument
from dltool.errors import Mistakes, UsageError, messages
from dltool.output import tables
from dltool.output.files import PICTURES, check_target, output

LARGEST_INPUT = 2**31  # values an example: beyond it sizes of weights leave TensorFlow's 64-bit integers


def summary(
    source: SourceArgument,
    overrides: OverridesArgument = None,
    batch_size: Annotated[
        int | None, typer.Option("--batch-size", min=1, help="Examples, for the memory of activations.")
    ] = None,
    input_shape: Annotated[
        str | None, typer.Option("--input-shape", help="In place of the data's, which are then not needed: 224,224,3.")
    ] = None,
    classes: Annotated[int | None, typer.Option("--classes", min=1, help="With --input-shape: how many.")] = None,
    plot: Annotated[Path | None, typer.Option("--plot", help="Draw the graph: FILE.png or FILE.svg.")] = None,
    overwrite: OverwriteOption = False,
    form: FormatOption = Format.table,
) -> None:
    """Show what each layer gives and costs: shape, parameters, multiply-adds, receptive field, memory."""
    from dltool.recipe import build

    mistakes, facts, overrides = Mistakes(), {}, overrides or []
    with mistakes:
        check_target("--plot", plot, overwrite, PICTURES)
    with mistakes:
        facts = _facts(input_shape, classes)
    mistakes.finish(lambda: build.load_any(source, overrides))
    from dltool.runs.untrained_model import untrained_model

    model, size = untrained_model(source, overrides, facts)
    import pandas as pd

    from dltool.graph.summary import summary as rows_and_totals

    try:
        rows, totals = rows_and_totals(model, batch_size or size)
    except ValueError as error:
        raise UsageError(f"{source}: {error}") from error
    if plot is not None:
        from dltool.output.graph import plot_graph

        shape = ", ".join(" x ".join(map(str, tensor.shape[1:])) for tensor in model.inputs)
        with output(plot) as file:
            plot_graph(rows, shape, file, plot.suffix[1:].lower(), model.name)
    layers = pd.DataFrame(rows)
    layers[["multiply_adds", "activation_bytes"]] = layers[["multiply_adds", "activation_bytes"]].astype("Int64")
    report = {"layers": layers, "total": pd.DataFrame([totals], dtype="object")}
    messages.write(tables.render(report, form))


def _facts(input_shape: str | None, classes: int | None) -> dict[str, Any]:
    """Return facts that take the place of the data's, empty without options."""
    if input_shape is None:
        if classes is not None:
            raise UsageError("--classes goes with --input-shape")
        return {}
    try:
        shape = tuple(int(size) for size in input_shape.replace("x", ",").split(","))
        if not shape or min(shape) < 1:
            raise ValueError
    except ValueError:
        raise UsageError(f"--input-shape '{input_shape}': write sizes without the batch, such as 224,224,3") from None
    if math.prod(shape) >= LARGEST_INPUT:
        raise UsageError(f"--input-shape '{input_shape}': an example must have less than {LARGEST_INPUT:,} values")
    return {"input_shape": shape, **({"num_classes": classes} if classes is not None else {})}
