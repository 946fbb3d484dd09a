"""dltool train: a recipe's model into a run directory, and its figures as a table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from dltool.errors import Mistakes, RecipeError, UsageError
from dltool.output import tables
from dltool.recipe import build, reading
from dltool.recipe.reading import Recipe
from dltool.runs import directory, opened, train
from dltool.runs import resume as changes
from dltool.runs.directory import RunDirectory
from dltool.training.progress import TrainingProgress

if TYPE_CHECKING:
    import pandas as pd


def run(
    source: str,
    overrides: Sequence[str],
    *,
    out: Path | None,
    resume: bool,
    overwrite: bool,
    accept_changes: bool,
    quiet: bool,
    form: str,
    device: str,
    write: Callable[[str], None],
) -> None:
    """Train and write the figures, or under `quiet` the run directory alone."""
    mistakes = Mistakes()
    with mistakes:
        if resume and overwrite:
            raise UsageError("--resume and --overwrite exclude each other")
    with mistakes:
        if accept_changes and not resume:
            raise UsageError("--accept-changes goes with --resume")
    folder, name = Path(source), None
    if opened.is_run(folder):
        source, name = str(folder / directory.RECIPE), folder.absolute().name
        if out is None and (resume or overwrite):
            out = folder
    with mistakes:
        loaded = _loaded(source, overrides, None if name is None else RunDirectory(folder))
    mistakes.finish()
    trained = train.train(
        loaded,
        out=out,
        name=name,
        resume=resume,
        overwrite=overwrite,
        accept_changes=accept_changes,
        device=device,
        progress=TrainingProgress(quiet),
    )
    if quiet:
        write(f"{trained.run}\n")
        return
    write(tables.render(report(trained), form))
    if form == "table":
        write(f"{trained.run}\n")


def _loaded(source: str, overrides: Sequence[str], run_: RunDirectory | None) -> Recipe:
    """The recipe; of a run whose data are gone, that is the only thing wrong with it."""
    try:
        return build.load(source, overrides)
    except RecipeError:
        if run_ is not None:
            with suppress(RecipeError):
                changes.own_dataset(reading.load(source, overrides), run_)
        raise


def report(trained: train.TrainedRun) -> dict[str, pd.DataFrame]:
    """Figures of each split, of the run, and the weights of a very small model."""
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
