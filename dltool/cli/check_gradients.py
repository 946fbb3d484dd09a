"""dltool check-gradients: a model's gradients computed in three ways, and where they disagree."""

from __future__ import annotations

from dltool.cli.options import Device, DeviceOption, Format, FormatOption, OverridesArgument, RecipeArgument
from dltool.errors import DltoolError, UsageError, messages

EXAMPLES = 16  # of a training batch: differences take two passes a direction and entry


def check_gradients(
    recipe: RecipeArgument,
    overrides: OverridesArgument = None,
    form: FormatOption = Format.table,
    device: DeviceOption = Device.auto,
) -> None:
    """Check a model's gradients: reverse mode against forward mode and central differences, one row per weight.

    Exit status 1 if a gradient is wrong; the table is written all the same.
    """
    import pandas as pd

    from dltool.output import tables
    from dltool.runs.preparation import prepare

    prepared = prepare(recipe, overrides or [], device=device)
    import tensorflow as tf

    from dltool.init_stats import gradient_check

    with prepared.data.explained():
        x, y = next(prepared.train.batches(1, prepared.train.order(prepared.seed)))
        few = tf.nest.map_structure(lambda array: array[:EXAMPLES], (x, y))
        try:
            rows = gradient_check.check(prepared.model, *few, seed=prepared.seed, say=messages.say)
        except ValueError as error:
            raise UsageError(f"{recipe}: {error}") from error
    messages.write(tables.render({"gradients": pd.DataFrame(rows)}, form))
    wrong = [row["weight"] for row in rows if row["verdict"] == "wrong"]
    if wrong:
        raise DltoolError(f"{recipe}: the gradient is wrong for {', '.join(wrong)}")
