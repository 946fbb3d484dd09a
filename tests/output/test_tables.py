"""Tables: rendered once at a fixed width; CSV and JSON stable; nothing truncated."""

from __future__ import annotations

import json
import math

import numpy as np
import pandas as pd
import pytest

from dltool.output import tables

FRAME = pd.DataFrame(
    {"run": ["a", "[b]"], "examples": [1500, 360], "loss": [0.12345678, float("nan")], "best": [True, False]}
)


def test_a_table_is_drawn_as_it_stands() -> None:
    wanted = """\
figures [x]
┏━━━━━┳━━━━━━━━━━┳━━━━━━━━┳━━━━━━┓
┃ run ┃ examples ┃   loss ┃ best ┃
┡━━━━━╇━━━━━━━━━━╇━━━━━━━━╇━━━━━━┩
│ a   │    1,500 │ 0.1235 │  yes │
│ [b] │      360 │        │   no │
└─────┴──────────┴────────┴──────┘
"""
    drawn = tables.render({"figures [x]": FRAME}, "table")
    assert [line.rstrip() for line in drawn.splitlines()] == wanted.splitlines()


def test_csv_is_one_section_in_full_precision() -> None:
    report = {"figures": FRAME, "other": pd.DataFrame({"x": [1]})}
    assert tables.render(report, "csv") == "run,examples,loss,best\na,1500,0.12345678,True\n[b],360,,False\n"
    assert tables.render(report, "csv", "other") == "x\n1\n"


def test_json_is_all_sections_and_says_null_for_what_is_missing() -> None:
    other = pd.DataFrame(
        {
            "x": [np.float32(0.5), np.inf, None, pd.NA],
            "y": [np.array([1, 2]), {"a": np.nan}, "ü", np.int64(3)],
        }
    )
    text = tables.render({"figures": FRAME, "other": other}, "json")
    assert json.loads(text, parse_constant=pytest.fail) == {
        "figures": [
            {"run": "a", "examples": 1500, "loss": 0.12345678, "best": True},
            {"run": "[b]", "examples": 360, "loss": None, "best": False},
        ],
        "other": [
            {"x": 0.5, "y": [1, 2]},
            {"x": None, "y": {"a": None}},
            {"x": None, "y": "ü"},
            {"x": None, "y": 3},
        ],
    }
    assert "ü" in text and text.endswith("}\n")


def test_csv_numbers_read_back_as_the_same_bits() -> None:
    numbers = np.random.default_rng(0).normal(size=100) * 10.0 ** np.arange(-50, 50)
    again = [float(line) for line in tables.render({"t": pd.DataFrame({"x": numbers})}, "csv").split()[1:]]
    assert again == numbers.tolist()


def test_long_cells_are_whole_without_a_terminal() -> None:
    long = "word " * 400
    assert long.strip() in tables.render({"t": pd.DataFrame({"x": [long], "y": ["z" * 500]})}, "table")


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        (0, "0"), (1234567, "1,234,567"), (-1500, "-1,500"), (0.5, "0.5000"), (0.0, "0.0000"), (1e-5, "1e-05"),
        (123456.0, "123,456"), (9999.5, "9,999.5"), (1e12, "1e+12"), (-0.25, "-0.2500"), (np.float32(0.1), "0.1000"),
        (np.int64(5), "5"), (np.bool_(True), "yes"), (float("nan"), ""), (float("inf"), "inf"), (-np.inf, "-inf"),
        (None, ""), (pd.NA, ""), ("text", "text"),
    ],
)  # fmt: skip
def test_cells_for_people(value: object, cell: str) -> None:
    assert tables._cell(value) == cell


def test_numbers_stand_right_though_some_are_missing() -> None:
    drawn = tables.render({"t": pd.DataFrame({"wide": [1, None]}, dtype=object)}, "table")
    assert "│    1 │" in drawn


@pytest.mark.parametrize("form", ["table", "csv", "json"])
def test_an_empty_frame_is_still_a_table(form: str) -> None:
    assert "x" in tables.render({"x": pd.DataFrame({"x": []})}, form)


def test_rows_are_written_as_a_frame_of_pandas_is() -> None:
    columns = {
        "step": [0, 10],
        "epoch": [None, 0.1],
        "source": ["a", 'b, "c"'],
        "rate": [1e-05, math.nan],
        "on": [True, False],
    }
    rows, frame = tables.Rows(columns), pd.DataFrame(columns)
    for form in ("csv", "json", "table"):
        assert tables.render({"x": rows}, form) == tables.render({"x": frame}, form)
    again = tables.Rows.of([{"a": 1, "b": np.float64(2)}, {"c": "x", "a": 3}])
    assert again.columns == {"a": [1, 3], "b": [2.0, None], "c": [None, "x"]}
