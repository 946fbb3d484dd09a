"""The decision regions of a classifier of two inputs, with the data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from dltool.errors import UsageError
from dltool.runs.plots import Options, _examples, titles

if TYPE_CHECKING:
    from dltool.runs.opened import OpenedRun

TAKES = ()
PLACES = 200  # in each direction


def draw(runs: Sequence[OpenedRun], options: Options, file: BinaryIO, form: str) -> list[dict[str, Any]]:
    """Draw each run's regions with its training examples; return how many of them it answers wrongly."""
    from dltool.output.plots.boundary import Regions, plot_regions

    drawn, table = [], []
    for run, title in zip(runs, titles(runs), strict=True):
        names = _examples.columns(run, "boundary", 2)
        x, y = _examples.read(run, "train")
        points, facts = _examples.flat(x, names), run.facts
        words = run.data.task.words(y, facts)
        if words is None:
            raise UsageError(f"{run}: --what boundary is for classifiers; its targets are {run.data.task.targets}.")
        classes = [str(name) for name in facts.get("class_names") or range(facts["num_classes"])]
        (left, right), (low, high) = (_examples.limits(points[:, i], 0.12) for i in (0, 1))
        across, up = np.linspace(left, right, PLACES), np.linspace(low, high, PLACES)
        plane = np.stack([one.ravel() for one in np.meshgrid(across, up)], axis=1)
        answers = _classes(run, plane, names, classes).reshape(PLACES, PLACES)
        predicted = _classes(run, points, names, classes)
        labels = np.array([classes.index(word) for word in words])
        wrong = int((predicted != labels).sum())
        missed = f"{wrong} of {len(labels)} wrong"
        axes = ("x1", "x2") if names is None else (names[0], names[1])
        drawn.append(Regions(title, axes, across, up, answers, points, labels, predicted, classes, missed))
        table.append({"run": str(run), "points": len(labels), "wrong": wrong})
    plot_regions(drawn, file, form)
    return table


def _classes(run: OpenedRun, points: np.ndarray, names: list[str] | None, classes: Sequence[str]) -> np.ndarray:
    """Return the class of each point, as its index."""
    from dltool.tasks.base import Question

    ask = run.data.task.answerer(Question([run.model], run.facts))
    found = ask(_examples.as_inputs(points, names), range(len(points)))["prediction"]
    if found.dtype.kind == "f":
        raise UsageError(f"{run}: --what boundary: the model's answers are numbers, no classes.")
    return np.array([classes.index(str(word)) if str(word) in classes else -1 for word in found])
