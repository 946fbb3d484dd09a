"""dltool eval: runs on a split of their data or on other data; several are also averaged."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dltool.cli import completion
from dltool.cli.options import (
    BatchSizeOption,
    Device,
    DeviceOption,
    DropoutOption,
    Format,
    FormatOption,
    OverwriteOption,
)
from dltool.cli.requirement import Requirement
from dltool.errors import Mistakes, RequirementError, UsageError, messages
from dltool.errors.control_characters import visible
from dltool.output import table_layout, tables
from dltool.output.files import check_target, output

if TYPE_CHECKING:
    import pandas as pd

WORDS = ("run", "split")  # columns of the scores that are no figures


def eval(
    runs: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUN", help="Run directories; several are also averaged.", autocompletion=completion.runs
        ),
    ],
    split: Annotated[
        str | None,
        typer.Option("--split", help="train, validation, test or all. Default: test if the data have one."),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option("--data", help="Other data than the run's: 'Csv: {path: new.csv, target: y}'."),
    ] = None,
    require: Annotated[
        list[str] | None,
        typer.Option(
            "--require",
            help="A condition on every row, 'accuracy>=0.97', or their average, 'mean:accuracy>=0.97'; else status 3.",
        ),
    ] = None,
    predictions: Annotated[
        Path | None,
        typer.Option(
            "--predictions",
            help="Write one CSV row per example: its file or row, target, prediction and probabilities by class name; "
            "of several runs, their average's.",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="With --predictions: a folder for answers that are pictures, such as masks."),
    ] = None,
    per_class: Annotated[
        bool,
        typer.Option("--per-class", help="With --format csv: figures of each class in place of the scores."),
    ] = False,
    confusion: Annotated[bool, typer.Option("--confusion", help="Add the confusion matrix; alone in CSV.")] = False,
    passes: DropoutOption = None,
    judge: Annotated[
        Path | None,
        typer.Option(
            "--judge",
            metavar="RUN",
            help="Compare images that runs make with the data's, in the features of this classifier's run.",
        ),
    ] = None,
    overwrite: OverwriteOption = False,
    batch_size: BatchSizeOption = None,
    form: FormatOption = Format.table,
    device: DeviceOption = Device.auto,
) -> None:
    """Evaluate runs: loss and metrics, figures per class, confusion; several runs also averaged."""
    from dltool.runs import evaluate
    from dltool.runs.evaluate import SPLITS, Evaluation
    from dltool.runs.opened import OpenedRun
    from dltool.tasks import base as tasks
    from dltool.tasks.base import Asked

    mistakes = Mistakes()
    requirements = []
    for text in require or []:
        with mistakes:
            requirements.append(Requirement.parse(text, with_mean=True))
    with mistakes:
        if split is not None and split not in SPLITS:
            raise UsageError(f"--split {split}: must be one of {', '.join(SPLITS)}")
    with mistakes:
        if per_class and confusion and form == Format.csv:
            raise UsageError("--format csv holds one table: choose --per-class or --confusion, or use --format json")
    with mistakes:
        check_target("--predictions", predictions, overwrite, inputs=_files(data))
    with mistakes:
        if out is not None and predictions is None:
            raise UsageError("--out: pictures go with --predictions FILE. Give it too.")
    mistakes.finish()
    asked = Asked(every=True, folder=out, overwrite=overwrite)
    if out is not None:
        tasks.of(OpenedRun(runs[0]).facts).check_asked(replace(asked, every=False))
    judgements = Evaluation(split, data, batch_size, device, passes, judge).judge(runs)
    report = evaluate.report(judgements, ["confusion"] if confusion else [])
    scores = report["scores"].to_dict("records")
    figures = [name for name in scores[0] if name not in WORDS]
    mistakes = Mistakes()
    for requirement in requirements:
        with mistakes:
            requirement.check_figure(figures)
            _judged(requirement, scores)
    mistakes.finish()
    section = "classes" if per_class else "confusion" if confusion else "scores"
    if section not in report:
        raise UsageError(f"--{'per-class' if per_class else section}: the runs are no classifiers")
    if predictions is not None:
        table = evaluate.table_of_answers(judgements, asked)
        with output(predictions) as file:
            file.write(table.to_csv(index=False, lineterminator="\n").encode())
    matrices = [] if form != Format.table else _matrices(report.pop("confusion", None))
    messages.write("\n".join([tables.render(report, form, section), *matrices]))
    unmet = [
        line
        for requirement in requirements
        for row in _judged(requirement, scores)
        if (line := requirement.unmet(row, row["run"]))
    ]
    if unmet:
        raise RequirementError(*unmet)


def _judged(requirement: Requirement, scores: Sequence[dict[str, Any]]) -> Sequence[dict[str, Any]]:
    """Return the rows that a requirement is about: all, or the average's; one run is its own average."""
    if not requirement.of_mean or len(scores) == 1:
        return scores
    from dltool.tasks.base import AVERAGE

    if scores[-1]["run"] != AVERAGE:
        raise UsageError(f"--require '{requirement.text}': outputs of these runs are not averaged. Leave out 'mean:'.")
    return scores[-1:]


def _matrices(confusion: pd.DataFrame | None) -> list[str]:
    """Return the confusion matrix of each run as text for people."""
    if confusion is None:
        return []
    keys = ["run", "output"] if "output" in confusion.columns[:2] else ["run"]  # of models with several outputs
    found = []
    for values, rows in confusion.groupby([confusion.iloc[:, i] for i in range(len(keys))], sort=False):
        counts = rows.iloc[:, len(keys) + 1 :].dropna(axis=1, how="all")
        classes = [messages.as_shown(visible(str(name)), sys.stdout) for name in counts.columns]
        title = f"confusion of {visible(', '.join(map(str, values)))}"
        found.append(table_layout.matrix(title, classes, counts.astype(int).to_numpy().tolist(), tables.width_of()))
    return found


def _files(data: str | None) -> list[Path]:
    """Return the files and folders that --data names."""
    from dltool.recipe import reading

    values = [] if data is None else [value.data for _, value in reading.from_text(data, "--data").walk()]
    return [Path(value) for value in values if isinstance(value, str) and value and reading.holds(Path(value).exists)]
