"""The curve that a regression of one input has fitted, with the data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from dltool.errors import UsageError
from dltool.runs.plots import Options, _examples, titles

if TYPE_CHECKING:
    from dltool.runs.opened import OpenedRun
    from dltool.tasks.base import Answer

TAKES = ()
PLACES = 500
SPLITS = ("train", "test")


def draw(runs: Sequence[OpenedRun], options: Options, file: BinaryIO, form: str) -> list[dict[str, Any]]:
    """Draw each run's curve; return its errors on the points that are drawn."""
    from dltool.output.plots.curve import Fit, plot_curves
    from dltool.tasks.base import Question

    fits: list[Fit] = []
    table: list[dict[str, Any]] = []
    for run, title in zip(runs, titles(runs), strict=True):
        names = _examples.columns(run, "curve", 1)
        data: dict[str, tuple[np.ndarray, np.ndarray]] = {}
        row: dict[str, Any] = {"run": str(run)}
        for split in (name for name in SPLITS if name in run.data.splits):
            x, y = _examples.read(run, split)
            data[split] = _examples.flat(x, names)[:, 0], np.asarray(y, np.float64).reshape(len(y), -1)
        if run.facts.get("num_classes") or any(y.shape[1] != 1 for _, y in data.values()):
            raise UsageError(f"{run}: --what curve is for models of one output, a number.")
        data = {split: (x, y[:, 0]) for split, (x, y) in data.items()}
        places = np.linspace(*_examples.limits(np.concatenate([x for x, _ in data.values()]), 0.05), PLACES)

        ask = run.data.task.answerer(Question([run.model], run.facts))

        def answer(x: np.ndarray, ask: Answer = ask, names: list[str] | None = names) -> np.ndarray:
            answers = ask(_examples.as_inputs(x[:, None], names), range(len(x)))
            found: np.ndarray = answers["prediction"].to_numpy(np.float64)
            return found

        for split, (x, y) in data.items():
            row |= {f"{split}_points": len(x), f"{split}_rmse": float(np.sqrt(np.mean((answer(x) - y) ** 2)))}
        fits.append(Fit(title, places, answer(places), data))
        table.append(row)
    plot_curves(fits, file, form)
    return table
