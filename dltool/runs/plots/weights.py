"""The weights of a layer: how large they are, and how many are exactly 0."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from dltool.errors import UsageError, suggest_or_list
from dltool.runs.plots import Options, titles

if TYPE_CHECKING:
    from dltool.runs.opened import OpenedRun

TAKES = ("layer",)


def draw(runs: Sequence[OpenedRun], options: Options, file: BinaryIO, form: str) -> list[dict[str, Any]]:
    """Draw a layer's kernel of each run; return its norms and zeros."""
    from dltool.output.plots.weights import Weights, plot_weights

    drawn, table = [], []
    for run, title in zip(runs, titles(runs), strict=True):
        name, kernel = _kernel(run, options.layer)
        norm, zeros = float(np.sqrt((kernel.astype(np.float64) ** 2).sum())), int((kernel == 0).sum())
        note = f"norm {norm:.3g}, {zeros} of {kernel.size} are 0"
        drawn.append(Weights(title, name, kernel, note))
        largest = float(np.abs(kernel).max(initial=0.0))
        table.append({"run": str(run), "layer": name, "weights": kernel.size, "zeros": zeros, "norm": norm,
                      "absolute_sum": float(np.abs(kernel).sum()), "largest": largest})  # fmt: skip
    plot_weights(drawn, file, form)
    return table


def _kernel(run: OpenedRun, wanted: str | None) -> tuple[str, np.ndarray]:
    """Return the path and kernel (inputs, units) of a layer, by default of the last one that has such."""
    from dltool.graph.layer_tree import parts

    found = {}
    for part in parts(run.model):
        kernel = getattr(part.layer, "kernel", None)
        if kernel is not None and len(kernel.shape) == 2 and part.path not in found:
            found[part.path] = kernel
    if not found:
        raise UsageError(f"{run}: --what weights is for layers whose kernel is a matrix (inputs, units). It has none.")
    name = wanted if wanted is not None else [*found][-1]
    if name not in found:
        raise UsageError(f"--layer {name}: {run} has no such layer with a matrix.{suggest_or_list(name, found)}")
    return name, np.asarray(found[name])
