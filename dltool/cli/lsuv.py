"""dltool lsuv: a run directory whose weights are scaled to unit variance, with a table of what was scaled."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dltool.cli.options import Device, DeviceOption, Format, FormatOption, OverridesArgument, RecipeArgument
from dltool.errors import Mistakes, UsageError, messages


def lsuv(
    recipe: RecipeArgument,
    out: Annotated[Path, typer.Option("--out", "-o", help="The run directory to write and to start training from.")],
    overrides: OverridesArgument = None,
    layers: Annotated[
        list[str] | None,
        typer.Option("--layers", help="Only the layers that a glob matches: 'conv*'; may be repeated."),
    ] = None,
    batches: Annotated[
        int | None,
        typer.Option(
            "--batches", min=1, help="Training batches whose variance is made one.", show_default="1,024 examples"
        ),
    ] = None,
    tolerance: Annotated[float, typer.Option("--tolerance", help="|variance - 1| that is good enough.")] = 0.01,
    attempts: Annotated[int, typer.Option("--attempts", min=1, help="Rescalings of a layer at most.")] = 10,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a run that dltool wrote.")] = False,
    form: FormatOption = Format.table,
    device: DeviceOption = Device.auto,
) -> None:
    """Scale a model's initial weights to unit variance, layer after layer; write a run to start from.

    Layer-sequential unit variance (Mishkin & Matas, 2016): orthonormal kernels, then each is divided by the standard
    deviation of its layer's output until the variance is one. Train with dltool train OUT --resume.
    """
    from dltool.output import tables
    from dltool.recipe import build
    from dltool.runs import opened, start
    from dltool.runs.preparation import prepare

    mistakes, overrides = Mistakes(), overrides or []
    with mistakes:
        if opened.is_run(recipe):
            raise UsageError(f"{recipe}: is a run, whose trained weights would be lost. Give its recipe.")
    with mistakes:
        if not 0 < tolerance < 1:
            raise UsageError(f"--tolerance: a number between 0 and 1. Got {tolerance:g}.")
    with mistakes:
        start.check_free(out, overwrite)
    mistakes.finish(lambda: build.load_any(recipe, overrides))
    prepared = prepare(recipe, overrides, device=device)
    from dltool.init_stats.repair import repair, report

    rows = repair(prepared, layers or ["*"], batches, tolerance, attempts)
    started = start.write_start(prepared, out, overwrite=overwrite, device=device)
    messages.write(tables.render({"lsuv": report(rows)}, form))
    messages.say(f"start from it with: dltool train {started} --resume")
