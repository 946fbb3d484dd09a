"""dltool landscape as its users meet it: tables, formats, pictures and mistakes."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from PIL import Image

from tests.command_line import run

KINDS = ("--function", "x**2 + y**2", "--function", "-(x**2 + y**2)", "--function", "x**2 - y**2", "--at", "0,0")


def test_formulas_give_a_row_each_with_its_thresholds_and_a_picture(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    done = run(capsys, "landscape", *KINDS, "--format", "csv", "--out", tmp_path / "kinds.png")
    assert done.status == 0, done.err
    rows = list(csv.DictReader(io.StringIO(done.out)))
    assert [row["verdict"] for row in rows] == ["minimum", "maximum", "saddle"]
    assert [(row["gradient_tolerance"], row["zero_below"]) for row in rows] == [("1e-06", "2e-08")] * 3
    with Image.open(tmp_path / "kinds.png") as picture:
        assert picture.width > picture.height > 300
        assert len(picture.convert("RGB").getcolors(1 << 20) or ()) > 200  # surfaces are drawn


def test_json_has_eigenvalues_derivatives_and_newtons_steps(capsys: pytest.CaptureFixture[str]) -> None:
    asked = ("--function", "x**4/4 - x**2/2", "--at", "0.4", "--newton", 9, "--format", "json")
    done = run(capsys, "landscape", *asked)
    assert done.status == 0, done.err
    report = json.loads(done.out)
    (point,) = report["points"]
    assert (point["verdict"], point["neighbours"]) == ("maximum", "lower")
    assert [row["eigenvalue"] for row in report["eigenvalues"]] == pytest.approx([-1])
    assert report["derivatives"][0]["H x"] == pytest.approx(-1)
    steps = [row["x"] for row in report["newton"]]
    # x - (x^3 - x) / (3 x^2 - 1) of 0.4 is 0.4 + 0.336 / -0.52
    assert steps[:2] == pytest.approx([0.4, 0.4 + 0.336 / -0.52])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "give --function and --at"),
        (("--function", "x"), "give --function and --at"),
        (("--function", "x**2", "--at", "a"), "--at 'a': write one number for each variable"),
        (("--function", "x**2", "--at", "inf"), "--at 'inf': write one number for each variable"),
        (("--function", "x^2", "--at", "0"), "--function 'x^2': has a '^'. Write ** for powers."),
        ((*KINDS, "--span", "0"), "--span: a number above 0. Got 0."),
        ((*KINDS, "--out", "a.txt"), "--out a.txt: must end in .png or .svg."),
        (("--function", "x*y*z", "--at", "0,0,0", "--out", "a.png"), "has 3 variables. A picture shows one or two."),
    ],
)
def test_mistakes_are_named_in_one_line(
    arguments: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    done = run(capsys, "landscape", *arguments)
    assert (done.status, done.out) == (2, "")
    assert message in done.err and done.err.count("\n") == 1
    assert not Path("a.png").exists()
