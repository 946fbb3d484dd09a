"""dltool train: a recipe's model into a run directory, and its figures as a table."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dltool.cli.options import Device, DeviceOption, Format, FormatOption, OverridesArgument, RecipeArgument
from dltool.errors import Mistakes, RecipeError, UsageError, messages

if TYPE_CHECKING:
    import pandas as pd

    from dltool.recipe.reading import Recipe
    from dltool.runs.train import TrainedRun


def train(
    recipe: RecipeArgument,
    overrides: OverridesArgument = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="The run directory. Default: runs/NAME, numbered if taken."),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the run's saved state.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a run that dltool wrote.")] = False,
    accept_changes: Annotated[
        bool, typer.Option("--accept-changes", help="Resume although the recipe differs from the run's.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print the run directory and nothing else.")] = False,
    form: FormatOption = Format.table,
    device: DeviceOption = Device.auto,
) -> None:
    """Train a recipe's model into a run directory, and print its figures."""
    from dltool.output import tables
    from dltool.runs import opened
    from dltool.runs.train import train as train_run
    from dltool.training.progress import TrainingProgress

    mistakes = Mistakes()
    with mistakes:
        if resume and overwrite:
            raise UsageError("--resume and --overwrite exclude each other")
    with mistakes:
        if accept_changes and not resume:
            raise UsageError("--accept-changes goes with --resume")
    folder, name = Path(recipe), None
    if opened.is_run(folder):
        recipe, name = str(opened.recipe_file(folder)), folder.absolute().name
        if out is None and (resume or overwrite):
            out = folder
    with mistakes:
        loaded = _load(recipe, overrides or [], None if name is None else folder)
    mistakes.finish()
    trained = train_run(
        loaded,
        out=out,
        name=name,
        resume=resume,
        overwrite=overwrite,
        accept_changes=accept_changes,
        device=device,
        progress=TrainingProgress(quiet),
    )
    if not quiet:
        messages.write(tables.render(report(trained), form))
    if quiet or form == Format.table:
        messages.write(f"{trained.run}\n")


def _load(source: str, overrides: Sequence[str], run: Path | None) -> Recipe:
    """Return the recipe; of a run whose data are gone, that is the only mistake."""
    from dltool.recipe import build, reading
    from dltool.runs import resume
    from dltool.runs.opened import OpenedRun

    try:
        return build.load(source, overrides)
    except RecipeError:
        if run is not None:
            with suppress(RecipeError):
                resume.own_dataset(reading.load(source, overrides), OpenedRun(run).directory)
        raise


def report(trained: TrainedRun) -> dict[str, pd.DataFrame]:
    """Return figures of each split and of the run, and the weights of a very small model."""
    import pandas as pd

    metrics = trained.metrics
    run_ = str(trained.run)
    splits = [name for name in ("train", "validation", "test") if name in metrics]
    counted = "tokens" if "tokens" in metrics else "examples"
    rows = [{"run": run_, "split": name, counted: metrics[counted][name], **metrics[name]} for name in splits]
    summary = {
        "run": run_,
        "epochs": metrics["epochs"],
        "selected_epoch": metrics["selected"]["epoch"],
        "parameters": metrics["parameters"],
        "seconds": round(metrics["seconds"], 2),
    }
    sections = {"figures": pd.DataFrame(rows), "training": pd.DataFrame([summary])}
    if "weights" in metrics:
        weights = [{"weight": name, "value": str(value)} for name, value in metrics["weights"].items()]
        sections["weights"] = pd.DataFrame(weights)
    return sections
