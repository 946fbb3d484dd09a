"""LSUV on a prepared recipe: its model's kernels scaled on its first training batches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from dltool.errors import UsageError, messages
from dltool.runs.preparation import Preparation

if TYPE_CHECKING:
    import pandas as pd

EXAMPLES = 1024  # of these many the variance is that of the data to a few percent


def repair(
    prepared: Preparation, layers: Sequence[str], batches: int | None, tolerance: float, attempts: int
) -> list[dict[str, Any]]:
    """Scale the model's kernels on its first training batches; return the rows of `lsuv.unit_variance`.

    Each row also has the layer's variance on as many further batches, None where the data have no more.

    Args:
        layers: patterns of layer names.
        batches: training batches, at most half of an epoch; by default as many as have `EXAMPLES` examples.
        tolerance: |variance - 1| that is good enough.
        attempts: rescalings of a layer at most.
    Raises:
        UsageError: a pattern matches no layer.
    """
    from dltool.graph import keras_internals
    from dltool.init_stats import lsuv

    with prepared.data.explained():
        train, model = prepared.train, prepared.model
        batches = min(batches or -(-EXAMPLES // train.batch_size), max(train.steps // 2, 1))
        order = train.order(prepared.seed)  # stored order may have one class after the other
        drawn = [x for x, _ in train.batches(2 * batches, order)]
        try:
            rows = lsuv.unit_variance(
                model, drawn[:batches], list(layers), tolerance, attempts, seed=prepared.seed, say=messages.say
            )
        except ValueError as error:
            raise UsageError(f"--layers: {error}") from error
        found = {layer.path: layer for layer in keras_internals.inner_layers(model)}
        measured = [found[row["layer"]] for row in rows if row["variance_after"] is not None]
        fresh = lsuv.output_variances(model, drawn[batches:], measured) if len(drawn) > batches else {}
    return [{**row, "variance_fresh": fresh.get(found[row["layer"]])} for row in rows]


def report(rows: Sequence[dict[str, Any]]) -> pd.DataFrame:
    """Return the rows as a table, the note last."""
    import pandas as pd

    return pd.DataFrame([{**{k: v for k, v in row.items() if k != "note"}, "note": row["note"]} for row in rows])
