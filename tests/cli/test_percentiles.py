"""dltool percentiles: what runs recorded, compared in a table and side by side in a picture."""

from __future__ import annotations

from pathlib import Path

import pytest

from dltool.cli import percentiles
from dltool.errors import DataError, UsageError
from dltool.runs.opened import OpenedRun
from tests.command_line import text_of

RECIPE = """\
data: {dataset: Digits}
model: [Dense: 4]
compile: {optimizer: adam, loss: mse}
fit:
  callbacks:
    - EarlyStopping
    - ActivationPercentiles: {layer: dense, signal: input, unit: 2}
"""
ROWS = "step,p15,p85\n0,-1.5,1.0\n100,-2.0,4.0\n200,-0.5,3.0\n"


def run_directory(folder: Path, name: str, rows: str | None = ROWS) -> Path:
    run = folder / name
    run.mkdir()
    (run / "recipe.yaml").write_text(RECIPE)
    if rows is not None:
        (run / "percentiles.csv").write_text(rows)
    return run


def written(*paths: Path, plot: Path | None = None, overwrite: bool = False, form: str = "table") -> str:
    return text_of(percentiles.percentiles, paths, plot=plot, overwrite=overwrite, form=form)


def test_each_percentiles_first_lowest_highest_and_last_value(tmp_path: Path) -> None:
    report = percentiles.sections([("a", percentiles.recorded(OpenedRun(run_directory(tmp_path, "a"))))])
    assert report["moved"].to_dict("records") == [
        {"run": "a", "steps": 200, "percentile": "15", "first": -1.5, "lowest": -2.0, "highest": -0.5, "last": -0.5},
        {"run": "a", "steps": 200, "percentile": "85", "first": 1.0, "lowest": 1.0, "highest": 4.0, "last": 3.0},
    ]


def test_csv_has_every_row_of_every_run_and_the_table_a_summary(tmp_path: Path) -> None:
    runs = [run_directory(tmp_path, name) for name in ("a", "b")]
    lines = written(*runs, form="csv").splitlines()
    assert lines[:2] == ["run,step,p15,p85", f"{runs[0]},0,-1.5,1.0"]
    assert len(lines) == 7
    assert "moved" in written(*runs)
    assert "percentiles" not in written(*runs)


def test_runs_are_drawn_side_by_side_and_no_picture_is_overwritten(tmp_path: Path) -> None:
    from PIL import Image

    one, two, both = run_directory(tmp_path, "a"), run_directory(tmp_path, "b"), tmp_path / "both.png"
    written(one, plot=tmp_path / "one.png")
    written(one, two, plot=both)
    widths = [Image.open(tmp_path / name).size[0] for name in ("one.png", "both.png")]
    assert widths[1] > 1.5 * widths[0]
    with pytest.raises(UsageError, match="both.png: exists already. Use --overwrite"):
        written(one, plot=both)
    written(one, plot=both, overwrite=True)
    assert Image.open(both).size[0] == widths[0]
    written(one, two, plot=tmp_path / "both.svg")
    text = (tmp_path / "both.svg").read_text()
    assert text.startswith("<?xml")
    assert sorted(file.name for file in tmp_path.glob(".*")) == []


def test_the_picture_says_what_was_measured(tmp_path: Path) -> None:
    run = OpenedRun(run_directory(tmp_path, "a"))
    assert percentiles._measured(run, "percentiles.csv") == "input of dense, unit 2"
    assert percentiles._measured(run, "other.csv") == ""


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (None, "percentiles.csv: is missing. Add ActivationPercentiles to the recipe's fit.callbacks and train again."),
        ("", "is not a file of ActivationPercentiles"),
        ("step,p50\n0,x\n", r"is damaged \(could not convert string to float: 'x'\). Train again."),
        ("step,p50\n0\n", "is damaged"),
        ("epoch,loss\n0,1\n", "is not a file of ActivationPercentiles"),
    ],
)
def test_a_run_without_readable_percentiles_is_an_error_of_the_data(
    rows: str | None, message: str, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=message):
        written(run_directory(tmp_path, "a", rows))


def test_what_is_no_run_and_a_picture_of_another_kind(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such run directory"):
        written(tmp_path / "nothing")
    with pytest.raises(UsageError, match=r"--plot .*x.pdf: must end in .png or .svg"):
        written(run_directory(tmp_path, "a"), plot=tmp_path / "x.pdf")
