"""Images of the training split as they are, and what a run's layers for preprocessing make of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from dltool.errors import UsageError
from dltool.runs.plots import Options, _examples, titles

if TYPE_CHECKING:
    from dltool.runs.opened import OpenedRun

TAKES = ("layer",)
EXAMPLES = 8


def draw(runs: Sequence[OpenedRun], options: Options, file: BinaryIO, form: str) -> list[dict[str, Any]]:
    """Draw a row of images as stored, and a row a run behind its layer; return each row's range."""
    from dltool.output.plots.inputs import plot_rows

    rows: list[tuple[str, np.ndarray]] = []
    table = []
    for run, title in zip(runs, titles(runs), strict=True):
        x, _ = _examples.read(run, "train", EXAMPLES)
        if not isinstance(x, np.ndarray) or x.ndim != 4 or x.shape[-1] not in (1, 3):
            raise UsageError(f"{run}: --what inputs is for images; its examples have the shape {np.shape(x)[1:]}.")
        name, behind = _behind(run, options.layer, x)
        if not rows:
            rows.append(("as stored", x.astype(np.float64)))
        rows.append((f"{title}: {name}", behind))
        table.append({"run": str(run), "layer": name, "mean": float(behind.mean()), "deviation": float(behind.std()),
                      "lowest": float(behind.min()), "highest": float(behind.max())})  # fmt: skip
    plot_rows(rows, file, form)
    return table


def _behind(run: OpenedRun, wanted: str | None, x: np.ndarray) -> tuple[str, np.ndarray]:
    """Return a layer's name and its output for images, by default of the last that was adapted to the data."""
    from dltool.graph.cut import cut

    name = wanted
    if name is None:
        adapted = [layer.name for layer in run.model.layers if hasattr(layer, "adapt")]
        if not adapted:
            raise UsageError(f"{run}: no layer of its model is adapted to the data. Name one: --layer.")
        name = adapted[-1]
    try:
        found = np.asarray(cut(run.model, name, 0)(x.astype(np.float32)), np.float64)
    except ValueError as error:
        raise UsageError(f"{run}: {error}") from error
    if found.shape != x.shape:
        raise UsageError(f"{run}: behind '{name}' the images have the shape {found.shape[1:]}. Name another layer.")
    return name, found
