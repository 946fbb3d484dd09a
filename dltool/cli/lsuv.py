"""dltool init-stats --lsuv: a run directory whose weights are scaled to unit variance, and what was done."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dltool.errors import Mistakes, UsageError
from dltool.output import tables
from dltool.recipe import build
from dltool.runs import opened, start
from dltool.runs.preparation import Preparation, prepare
from dltool.training.progress import TrainingProgress

if TYPE_CHECKING:
    import pandas as pd

EXAMPLES = 1024  # of these many the variance is that of the data to a few percent


def run(
    source: str,
    overrides: Sequence[str],
    *,
    out: Path,
    layers: Sequence[str] = ("*",),
    batches: int | None = None,
    tolerance: float = 0.01,
    attempts: int = 10,
    overwrite: bool = False,
    form: str = "table",
    device: str = "auto",
    write: Callable[[str], None],
) -> None:
    """Write the run directory `out` to start from, and a row a layer.

    Args:
        source: a recipe; not a run, whose trained weights would be lost.
        layers: patterns of layer names.
        batches: training batches whose variance is made one, at most half of an epoch; by default some 1,024 examples.
        tolerance: |variance - 1| that is good enough.
        attempts: rescalings of a layer at most.
    Raises:
        UsageError: an option that cannot work; nothing was written.
    """
    mistakes = Mistakes()
    with mistakes:
        if opened.is_run(source):
            raise UsageError(f"--lsuv: {source} is a run, whose trained weights would be lost. Give its recipe.")
    with mistakes:
        if not 0 < tolerance < 1:
            raise UsageError(f"--tolerance: a number between 0 and 1. Got {tolerance:g}.")
    with mistakes:
        start.check_free(out, overwrite)
    mistakes.finish(lambda: build.load_any(source, overrides))
    prepared = prepare(source, overrides, device=device)
    say = TrainingProgress(quiet=False).say
    rows = repair(prepared, layers, batches, tolerance, attempts, say)
    started = start.write_start(prepared, out, overwrite=overwrite, device=device)
    write(tables.render({"lsuv": report(rows)}, form))
    say(f"start from it with: dltool train {started} --resume")


def repair(
    prepared: Preparation,
    layers: Sequence[str],
    batches: int | None,
    tolerance: float,
    attempts: int,
    say: Callable[[str], None],
) -> list[dict[str, Any]]:
    """Scale the model's kernels on its first training batches; rows of `lsuv.unit_variance`, and each layer's variance
    on as many further batches, None where the data have no more.

    Raises:
        UsageError: a pattern matches no layer.
    """
    from dltool.init_stats import lsuv

    with prepared.data.explained():
        train, model = prepared.train, prepared.model
        batches = min(batches or -(-EXAMPLES // train.batch_size), max(train.steps // 2, 1))
        order = train.order(prepared.seed)  # stored order may have one class after the other
        drawn = [x for x, _ in train.batches(2 * batches, order)]
        try:
            rows = lsuv.unit_variance(
                model, drawn[:batches], list(layers), tolerance, attempts, seed=prepared.seed, say=say
            )
        except ValueError as error:
            raise UsageError(f"--layers: {error}") from error
        found = {layer.path: layer for layer in model._flatten_layers(include_self=False)}
        measured = [found[row["layer"]] for row in rows if row["variance_after"] is not None]
        fresh = lsuv.output_variances(model, drawn[batches:], measured) if len(drawn) > batches else {}
    return [{**row, "variance_fresh": fresh.get(found[row["layer"]])} for row in rows]


def report(rows: Sequence[dict[str, Any]]) -> pd.DataFrame:
    """The rows as a table, the note last."""
    import pandas as pd

    return pd.DataFrame([{**{k: v for k, v in row.items() if k != "note"}, "note": row["note"]} for row in rows])
