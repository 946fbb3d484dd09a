"""dltool landscape: gradient, Hessian and kind of critical point of a net's loss or of formulas; slices; pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dltool.cli import completion
from dltool.cli.options import (
    SOURCE,
    Device,
    DeviceOption,
    Format,
    FormatOption,
    OverridesArgument,
    OverwriteOption,
    take_fields,
)
from dltool.errors import Mistakes, UsageError, messages
from dltool.landscape.options import NetOptions
from dltool.output import tables
from dltool.output.files import PICTURES, check_target

if TYPE_CHECKING:
    from dltool.landscape.net_tables import Result

EXAMPLE = "dltool landscape --function 'x**3 + y**2' --at 0,0"


@take_fields(lambda: dict.fromkeys(NetOptions.__dataclass_fields__, "Nets"))
def landscape(
    source: Annotated[
        str | None, typer.Argument(metavar="RECIPE|RUN", help=SOURCE, autocompletion=completion.sources)
    ] = None,
    overrides: OverridesArgument = None,
    functions: Annotated[
        list[str] | None,
        typer.Option(
            "--function", help="A formula, such as 'x**3 + y**2'; may be repeated.", rich_help_panel="Formulas"
        ),
    ] = None,
    at: Annotated[
        list[str] | None,
        typer.Option(
            "--at",
            help="A point of the formula, variables in alphabetical order: 0,0; may be repeated.",
            rich_help_panel="Formulas",
        ),
    ] = None,
    newton: Annotated[
        int, typer.Option("--newton", min=0, help="Newton's steps from --at, at most.", rich_help_panel="Formulas")
    ] = 0,
    net: NetOptions = NetOptions(),  # noqa: B008 - frozen
    gradient_tolerance: Annotated[
        float, typer.Option("--gradient-tolerance", min=0, help="Largest gradient norm of a critical point.")
    ] = 1e-6,
    zero_tolerance: Annotated[
        float,
        typer.Option("--zero-tolerance", min=0, help="Eigenvalues up to this share of the largest count as zero."),
    ] = 1e-8,
    span: Annotated[float, typer.Option("--span", help="Half the width of a slice or of a formula's picture.")] = 1.0,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Draw into a .png or .svg file.")] = None,
    overwrite: OverwriteOption = False,
    form: FormatOption = Format.table,
    device: DeviceOption = Device.auto,
) -> None:
    """Measure a loss surface at a point: gradient, eigenvalues of the Hessian, and the kind of critical point.

    The surface is the loss of a recipe's or run's net over its weights, or a formula. The net computes in float64.
    """
    mistakes = Mistakes()
    with mistakes:
        if not any((source, functions, net.between)):
            raise UsageError(f"name a recipe or a run, or give a formula: {EXAMPLE}")
        if sum(map(bool, (source, functions, net.between))) > 1:
            raise UsageError("a recipe or run, --function and --between: one at a time. Run the command once for each.")
        if bool(functions) != bool(at):
            raise UsageError(f"--function and --at go together: {EXAMPLE}")
        if functions and net != NetOptions():
            raise UsageError("--function: options of nets do not go with formulas. Remove them.")
        if newton and not functions:
            raise UsageError("--newton: goes with --function. For nets use --critical-points.")
    with mistakes:
        if not 0 < span < float("inf"):
            raise UsageError(f"--span: a number above 0. Got {span:g}.")
    with mistakes:
        check_target("--out", out, overwrite, PICTURES)
    mistakes.finish()
    tolerances = {"gradient_tolerance": gradient_tolerance, "zero_tolerance": zero_tolerance}
    if functions:
        from dltool.landscape import formula_points

        points = [
            formula_points.measure(text, formula_points.parse_place(place), newton=newton, **tolerances)
            for text in functions
            for place in at or ()
        ]
        if out is not None:
            formula_points.draw(points, out, span)
        messages.write(tables.render(formula_points.report(points), form))
    else:
        result = _measure_net(source, overrides or (), net, device, span, **tolerances)
        if out is not None:
            result.draw(out)
        messages.write(tables.render(result.select(form), form, result.section))
    if out is not None:
        messages.say(f"wrote {out}")


def _measure_net(
    source: str | None,
    overrides: Sequence[str],
    options: NetOptions,
    device: Device,
    span: float,
    **tolerances: float,
) -> Result:
    from dltool.recipe import build
    from dltool.runs import opened

    runs = [opened.OpenedRun(path) for path in options.between or ()]
    source = source or str(runs[0])
    mistakes = Mistakes()
    with mistakes:
        options.check()
    with mistakes:
        if options.vary is not None and opened.is_run(source):
            raise UsageError(f"--vary: trains a recipe, and {source} is a run. Name its recipe.")
    mistakes.finish(lambda: build.load_any(source, overrides))
    if options.vary is not None:
        from dltool.landscape.spread import measure_spread

        return measure_spread(source, overrides, options, device)
    from dltool.landscape import net_tables
    from dltool.landscape.net import Net

    prepared = Net(source, overrides, device=device, split=options.split, limit=options.limit, seed=options.seed)
    with prepared.prepared.data.explained():
        return net_tables.measure(
            prepared, options, runs=runs, is_trained=opened.is_run(source), span=span, **tolerances
        )
