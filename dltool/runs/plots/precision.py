"""Precision of detectors over recall, for each class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, BinaryIO

from dltool.errors import DataError, UsageError
from dltool.runs.plots import Options, titles
from dltool.tasks import base as tasks

if TYPE_CHECKING:
    from dltool.runs.opened import OpenedRun

TAKES = ()
IOU = 0.5  # from which on a box is right


def draw(runs: Sequence[OpenedRun], options: Options, file: BinaryIO, form: str) -> list[dict[str, Any]]:
    """Draw the curves of each run on its test split; return average precision and recall of each class."""
    from dltool.output.plots.precision import Curves, plot_precision
    from dltool.runs.evaluate import Evaluation

    for run in runs:
        if tasks.of(run.facts).name != "detection":
            raise UsageError(f"{run}: --what precision is for detectors, whose data have boxes.")
    drawn, table = [], []
    for run, title in zip(runs, titles(runs), strict=True):
        (judgement,) = Evaluation().judge([run.directory.path])
        precision, rows = judgement.outcome.precision, judgement.tables["classes"]
        known = rows[rows["boxes"] > 0]
        if not len(known):
            raise DataError(f"{run}: its {judgement.split} split has no true boxes: no precision can be drawn.")
        drawn.append(
            Curves(title, {row["class"]: precision.precision[0, :, number] for number, row in known.iterrows()})
        )
        for row in known.to_dict("records"):
            table.append({"run": str(run), "split": judgement.split, "iou": IOU, **row})
    plot_precision(drawn, file, form)
    return table
