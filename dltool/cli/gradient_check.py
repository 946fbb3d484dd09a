"""dltool init-stats --check-gradients: a model's gradients computed in three ways, and where they disagree."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from dltool.errors import DltoolError, UsageError
from dltool.output import tables
from dltool.runs.preparation import prepare
from dltool.training.progress import TrainingProgress

EXAMPLES = 16  # of a training batch: differences take two passes a direction and entry


def run(source: str, overrides: Sequence[str], *, form: str, device: str, write: Callable[[str], None]) -> None:
    """Write a row a weight.

    Raises:
        DltoolError: a gradient is wrong; the table is written all the same.
        UsageError: the model has no weights to check.
    """
    import pandas as pd
    import tensorflow as tf

    from dltool.init_stats import gradient_check

    prepared = prepare(source, overrides, device=device)
    with prepared.data.explained():
        x, y = next(prepared.train.batches(1, prepared.train.order(prepared.seed)))
        few = tf.nest.map_structure(lambda array: array[:EXAMPLES], (x, y))
        try:
            rows = gradient_check.check(prepared.model, *few, seed=prepared.seed, say=TrainingProgress(quiet=False).say)
        except ValueError as error:
            raise UsageError(f"{source}: --check-gradients: {error}") from error
    write(tables.render({"gradients": pd.DataFrame(rows)}, form))
    wrong = [row["weight"] for row in rows if row["verdict"] == "wrong"]
    if wrong:
        raise DltoolError(f"{source}: the gradient is wrong for {', '.join(wrong)}")
