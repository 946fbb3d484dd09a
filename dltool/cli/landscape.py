"""dltool landscape: gradient, Hessian and kind of critical point of formulas."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dltool.cli.options import Format, FormatOption, OverwriteOption
from dltool.errors import Mistakes, UsageError, messages
from dltool.output import tables
from dltool.output.files import PICTURES, check_target


def landscape(
    functions: Annotated[
        list[str] | None, typer.Option("--function", help="A formula, such as 'x**3 + y**2'; may be repeated.")
    ] = None,
    at: Annotated[
        list[str] | None,
        typer.Option("--at", help="A point of the formula, variables in alphabetical order: 0,0; may be repeated."),
    ] = None,
    newton: Annotated[int, typer.Option("--newton", min=0, help="Newton's steps from --at, at most.")] = 0,
    gradient_tolerance: Annotated[
        float, typer.Option("--gradient-tolerance", min=0, help="Largest gradient norm of a critical point.")
    ] = 1e-6,
    zero_tolerance: Annotated[
        float,
        typer.Option("--zero-tolerance", min=0, help="Eigenvalues up to this share of the largest count as zero."),
    ] = 1e-8,
    span: Annotated[float, typer.Option("--span", help="Half the width of the picture.")] = 1.0,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Draw into a .png or .svg file.")] = None,
    overwrite: OverwriteOption = False,
    form: FormatOption = Format.table,
) -> None:
    """Measure a loss surface at a point: gradient, eigenvalues of the Hessian, and the kind of critical point."""
    mistakes = Mistakes()
    with mistakes:
        if not functions or not at:
            raise UsageError("give --function and --at: dltool landscape --function 'x**3 + y**2' --at 0,0")
    with mistakes:
        if not 0 < span < float("inf"):
            raise UsageError(f"--span: a number above 0. Got {span:g}.")
    with mistakes:
        check_target("--out", out, overwrite, PICTURES)
    mistakes.finish()
    from dltool.landscape import formula_points

    points = [
        formula_points.measure(
            text,
            formula_points.parse_place(place),
            newton=newton,
            gradient_tolerance=gradient_tolerance,
            zero_tolerance=zero_tolerance,
        )
        for text in functions or ()
        for place in at or ()
    ]
    if out is not None:
        formula_points.draw(points, out, span)
    messages.write(tables.render(formula_points.report(points), form))
    if out is not None:
        messages.say(f"wrote {out}")
