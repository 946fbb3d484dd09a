"""The spread of the losses that trainings from different initial weights end with, for several sizes of a net."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from dltool.errors import messages
from dltool.landscape.net import Net
from dltool.landscape.net_tables import Result
from dltool.landscape.options import NetOptions
from dltool.output import landscape as pictures
from dltool.output.tables import Rows


def measure_spread(source: str, overrides: Sequence[str], options: NetOptions, device: str) -> Result:
    """Train a recipe with each value of a key, from several initial weights each, and compare the final losses.

    Args:
        source: a recipe. overrides: `key=value` texts.
        options: `vary`, `trainings`, and the split and its examples whose loss is measured, the same for all.
    Raises:
        UsageError: no such key or value.
    Reference: Choromanska et al., 2015, The Loss Surfaces of Multilayer Networks, figure 3; lecture slide 63.
    """
    key, values = options.variants()
    rows: list[dict[str, Any]] = []
    losses = []
    for value in values:
        one = [*overrides, f"{key}={value}"]
        net = Net(source, one, device=device, split=options.split, limit=options.limit, seed=options.seed)
        found = []
        for number in range(options.trainings):
            messages.status(f"{key}={value}: training {number + 1} of {options.trainings} ...")
            _, weights = net.train(net.draw_start(options.seed + number))
            found.append(net.value(weights))
            rows.append({key: value, "weights": net.size, "seed": options.seed + number, "loss": found[-1]})
        losses.append(np.array(found))
    summary = [
        {
            key: value,
            "weights": next(row["weights"] for row in rows if row[key] == value),
            "trainings": len(found),
            "mean": found.mean(),
            "standard_deviation": found.std(ddof=1),
            "lowest": found.min(),
            "highest": found.max(),
        }
        for value, found in zip(values, losses, strict=True)
    ]
    tables = {"spread": Rows.of(summary), "trainings": Rows.of(rows)}
    title = f"{source}: {options.split.value} loss after {options.trainings} trainings each"
    return Result(
        tables,
        "spread",
        title,
        lambda file, title, form: pictures.plot_spread(values, losses, file, title, key, form),
        {"trainings": None},
    )
