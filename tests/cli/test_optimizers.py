"""dltool optimizers: optimizers as recipes write them, a table of what they leave, a picture; mistakes together."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.command_line import run

FEW = ("--problem", "bowl", "--problem", "steep", "--steps", "20")


def test_table_and_picture_of_optimizers_as_recipes_write_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    decayed = "SGD: {learning_rate: {LinearDecay: {initial_learning_rate: 0.5, end_learning_rate: 0, decay_steps: 20}}}"
    picture = tmp_path / "o.png"
    done = run(
        capsys, "optimizers", "SGD", decayed, "RMSpropNesterov: 0.01", *FEW, "--plot", picture, "--format", "json"
    )
    assert done.status == 0, done.err
    report = json.loads(done.out)
    assert [row["optimizer"] for row in report["optimizers"]] == ["SGD", decayed, "RMSpropNesterov: 0.01"]
    rates = [row["learning_rate"] for row in report["optimizers"]]
    assert rates[1:] == ["its own", "its own"] and float(rates[0]) in (0.0001, 0.3, 1)
    assert {row["problem"] for row in report["problems"]} == {"bowl", "steep"}
    steep = next(row for row in report["trials"] if row["optimizer"] == decayed and row["problem"] == "steep")
    assert (steep["left"], steep["verdict"]) == (None, "worse")
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_each_problem_may_have_its_own_rate(capsys: pytest.CaptureFixture[str]) -> None:
    done = run(capsys, "optimizers", "SGD", "--each", *FEW, "--format", "csv")
    rows = [line.split(",") for line in done.out.splitlines()]
    assert rows[0] == ["optimizer", "problem", "learning_rate", "left", "verdict"]
    assert [(row[1], float(row[2]), row[4]) for row in rows[1:]] == [("bowl", 1.0, "solved"), ("steep", 1e-4, "solved")]


@pytest.mark.parametrize(
    ("arguments", "lines"),
    [
        (["Adma", "SGD: {momentun: 0.9}"], ["no optimizer named 'Adma'. Did you mean", "no argument 'momentun'. Did"]),
        (["SGD", "--problem", "bowel"], ["--problem bowel: no such problem. Did you mean 'bowl'?"]),
        (["SGD", "--plot", "x.jpg"], ["--plot x.jpg: must end in .png or .svg"]),
        (["SGD: {momentum: 2.0}", *FEW], ["`momentum` must be a float between [0, 1]"]),
    ],
)
def test_mistakes_are_told_together(arguments: list[str], lines: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    done = run(capsys, "optimizers", *arguments)
    assert done.status == 2
    assert len(done.err.splitlines()) == len(lines)
    for line, text in zip(done.err.splitlines(), lines, strict=True):
        assert text in line
