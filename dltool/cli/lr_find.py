"""dltool lr-find: a learning-rate range test of a recipe, as tables, a picture and a recipe fragment."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dltool.cli.options import (
    Device,
    DeviceOption,
    Format,
    FormatOption,
    OverridesArgument,
    OverwriteOption,
    PlotOption,
    SourceArgument,
)
from dltool.errors import Mistakes, UsageError, messages
from dltool.output import tables
from dltool.output.files import PICTURES, check_target, output

if TYPE_CHECKING:
    from dltool.lr_schedule.range_tests import RangeTest
    from dltool.recipe.reading import Recipe
    from dltool.runs.preparation import Preparation

LEAST_STEPS = 20  # fewer leave no curve to read


class Spacing(StrEnum):
    """How the rates of a range test are spaced."""

    exponential = "exponential"
    linear = "linear"


class Rule(StrEnum):
    """How a rate is read off the curve of a range test."""

    minimum = "minimum/10"
    steepest = "steepest"
    valley = "valley"
    slide = "slide"


def lr_find(
    source: SourceArgument,
    overrides: OverridesArgument = None,
    start: Annotated[float, typer.Option("--from", help="The lowest rate.")] = 1e-6,
    stop: Annotated[float, typer.Option("--to", help="The highest rate.")] = 10.0,
    steps: Annotated[int, typer.Option("--steps", min=1, help="Steps of a sweep.")] = 100,
    spacing: Annotated[Spacing, typer.Option("--sweep", help="How the rate rises.")] = Spacing.exponential,
    seeds: Annotated[
        int,
        typer.Option("--seeds", min=1, help="Sweeps, each with weights and an order of its own: a range of rates."),
    ] = 1,
    rule: Annotated[Rule, typer.Option("--rule", help="Whose rate --write takes.")] = Rule.minimum,
    smoothing: Annotated[float, typer.Option("--smoothing", help="Share of the past in the smoothed loss.")] = 0.9,
    validation: Annotated[bool, typer.Option("--validation", help="Read the loss of a validation batch.")] = False,
    plot: PlotOption = None,
    patch: Annotated[
        Path | None,
        typer.Option("--write", metavar="PATCH.yaml", help="A recipe that extends this one with the rate."),
    ] = None,
    overwrite: OverwriteOption = False,
    form: FormatOption = Format.table,
    device: DeviceOption = Device.auto,
) -> None:
    """Find a learning rate: train a little while the rate rises, and suggest one (range test, Smith 2017).

    A run is tested with its trained weights. Where no rate can be suggested the tables are written, the files are not.
    """
    from dltool.lr_schedule.range_tests import RangeTest
    from dltool.recipe import build
    from dltool.runs.preparation import prepare

    mistakes = Mistakes()
    with mistakes:
        _check(start, stop, steps, smoothing)
    with mistakes:
        check_target("--plot", plot, overwrite, PICTURES)
    with mistakes:
        read = _files(source) if overwrite and patch is not None and patch.exists() else []
        check_target("--write", patch, overwrite, (".yaml", ".yml"), read)
    mistakes.finish(lambda: build.load_any(source, overrides or []))
    prepared = prepare(source, overrides or [], device=device)
    test = RangeTest(prepared, source, start, stop, steps, spacing, smoothing, validation)
    if patch is not None:  # what cannot be written is known before the first sweep
        _fragment(patch, source, prepared, test, start, "")
    for number in range(seeds):
        test.sweep(number)
    messages.write(tables.render(test.report(rule, form), form, "sweep"))
    rate = test.suggested(rule)
    if plot is not None:
        test.draw(plot)
    if patch is not None:
        _write_patch(patch, source, prepared, test, rule, rate)
    for path in (plot, patch):
        if path is not None:
            messages.say(f"wrote {path}")


def _files(source: str) -> list[Path]:
    """Return the files of the recipe that is read, those that it extends included."""
    from dltool.recipe import reading
    from dltool.runs import opened

    return reading.chain(opened.recipe_file(source))


def _check(start: float, stop: float, steps: int, smoothing: float) -> None:
    if not 0 < start < stop < float("inf"):
        raise UsageError(f"--from and --to: the rates must rise from a number > 0. Got {start:g} to {stop:g}.")
    if steps < LEAST_STEPS:
        raise UsageError(f"--steps: a sweep takes at least {LEAST_STEPS} steps. Got {steps}.")
    if not 0 <= smoothing < 1:
        raise UsageError(f"--smoothing: a number in [0, 1). Got {smoothing:g}.")


def _fragment(
    path: Path, source: str, prepared: Preparation, test: RangeTest, rate: float, comment: str
) -> tuple[Recipe, str]:
    """Return the recipe with a rate, and the text of the fragment that makes it."""
    from dltool.graph.keras_internals import inner_optimizer
    from dltool.lr_schedule import patch as patching

    optimizer = inner_optimizer(prepared.model.optimizer)
    changed = patching.with_rate(prepared.recipe, rate, test.peak, type(optimizer).__name__)
    return changed, patching.fragment(source, changed, path, comment)


def _write_patch(path: Path, source: str, prepared: Preparation, test: RangeTest, rule: str, rate: float) -> None:
    """Write the fragment, once the recipe that it makes is built and its rate is the one suggested."""
    from dltool.lr_schedule.range_tests import peak
    from dltool.runs.preparation import Preparation

    seeds = f"{len(test.seeds)} seeds" if len(test.seeds) > 1 else "1 seed"
    comment = f"{prepared.recipe.name} with the learning rate {rate:g} of a range test ({rule}, {seeds})."
    changed, text = _fragment(path, source, prepared, test, rate, comment)
    measured = peak(Preparation(changed, prepared.data, prepared.seed))
    if abs(measured - rate) > 1e-3 * rate:
        raise UsageError(
            f"--write {path}: it is not known which arguments of the recipe's schedule are rates (its peak would be "
            f"{measured:.3g} in place of {rate:g}). Set them by hand."
        )
    with output(path) as file:
        file.write(text.encode())
