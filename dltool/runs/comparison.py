"""Runs side by side: one figure by split, the gap between training and test, epochs, parameters, seconds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dltool.errors import UsageError, suggest_or_list
from dltool.runs import directory, opened
from dltool.runs.opened import OpenedRun

SPLITS = ("train", "validation", "test")
COLUMNS = ("run", "figure", *SPLITS, "gap", "epoch", "epochs", "parameters", "seconds")
LOSS = "loss"
FALLING = "-"  # before the column to sort by


@dataclass(frozen=True)
class Comparison:
    """A table of runs, read off their metrics.json; a figure that is not there is evaluated.

    Args:
        figure: the figure's name; by default the first metric that all runs have, else the loss.
        sort: the column whose values rise down the table, or fall after "-"; by default the order of the runs.
        batch_size: examples at a time, where runs are evaluated.
        device: "auto", "cpu" or "gpu", likewise.
    Raises:
        UsageError: there is no such column.
    """

    figure: str | None = None
    sort: str | None = None
    batch_size: int | None = None
    device: str = "auto"

    def __post_init__(self) -> None:
        column = (self.sort or COLUMNS[0]).removeprefix(FALLING)
        if column not in COLUMNS:
            raise UsageError(f"--sort {self.sort}: no column '{column}'.{suggest_or_list(column, COLUMNS, 'Columns')}")

    def rows(self, paths: Sequence[Path]) -> list[dict[str, Any]]:
        """Return a row a run: the figure on each split, its gap, and how long the run trained.

        Columns: `gap` is the figure on the training split less that on the test split, or on the validation split where
        there is no test split; `epoch` is the one whose model is kept, `epochs` were trained; `seconds` of training.

        Raises:
            UsageError: no run has the figure.
            DataError: a run is not there or damaged, or none is finished.
        """
        runs = opened.finished([OpenedRun(path) for path in paths], directory.METRICS, "results")
        results = {run: run.directory.read_json(directory.METRICS) for run in runs}
        figure = self.figure or _common_figure([*results.values()])
        found = [self._row(run, metrics, figure) for run, metrics in results.items()]
        kept = [name for name in COLUMNS if any(row[name] is not None for row in found)]
        return [{name: row[name] for name in kept} for row in self._sorted(found)]

    def _row(self, run: OpenedRun, metrics: Mapping[str, Any], figure: str) -> dict[str, Any]:
        """Return all columns of a run, None where it has no value."""
        figures = {name: metrics[name] for name in SPLITS if name in metrics}
        values = {name: of_split.get(figure) for name, of_split in figures.items()}
        if None in values.values():
            values = {name: self._evaluated(run, name, figure) for name in reversed(figures)}  # the test split is small
        other = values.get("test", values.get("validation"))
        gap = values["train"] - other if "train" in values and other is not None else None
        chosen = metrics.get("selected") or {}
        row = {"run": str(run), "figure": figure, **values, "gap": gap, "epoch": chosen.get("epoch")}
        return dict.fromkeys(COLUMNS) | row | {name: metrics.get(name) for name in ("epochs", "parameters", "seconds")}

    def _evaluated(self, run: OpenedRun, split: str, figure: str) -> float:
        """Return a figure as `dltool eval` measures it.

        Raises:
            UsageError: there is none of this name.
        """
        from dltool.runs.evaluate import Evaluation

        (judgement,) = Evaluation(split, None, self.batch_size, self.device).judge([run.directory.path])
        if figure not in judgement.figures:
            known = suggest_or_list(figure, [*judgement.figures], "It has")
            raise UsageError(f"--figure {figure}: {run} has none.{known}")
        return judgement.figures[figure]

    def _sorted(self, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Return rows in the order that is asked for, those without a value last."""
        if self.sort is None:
            return rows
        column = self.sort.removeprefix(FALLING)
        with_value = [row for row in rows if row[column] is not None]
        with_value.sort(key=lambda row: row[column], reverse=self.sort.startswith(FALLING))
        return with_value + [row for row in rows if row[column] is None]


def _common_figure(results: Sequence[Mapping[str, Any]]) -> str:
    """Return the first metric that all runs have of their training split, the loss if there is none."""
    names = [[*metrics.get("train", {})] for metrics in results]
    return next((name for name in names[0] if name != LOSS and all(name in others for others in names)), LOSS)
