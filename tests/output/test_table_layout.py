"""Tables at a terminal's width: nothing broken inside a cell, nothing left out, nothing wider than the terminal."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import confusion_matrix

from dltool.output import table_layout, tables
from dltool.output.table_layout import Column, draw, matrix
from dltool.output.tables import Rows

WIDE = {
    "run": ["runs/digits", "runs/digits-2", "average"],
    "split": ["test"] * 3,
    "examples": [10000] * 3,
    "loss": [0.123456, 1234.5, 0.00012345],
    "sparse_top_k_categorical_accuracy": [0.5, 0.25, 1.0],
    "macro_precision": [0.1, 0.2, 0.3],
    "macro_recall": [0.4, 0.5, 0.6],
}
SENTENCE = "the loss is noisy: it falls by 0.0593 from 2.268, less than the 0.192 of chance"


def layers(count: int) -> dict[str, list]:
    return {
        "layer": [f"block{number}_convolution" for number in range(count)],
        **{f"figure_of_it_{number}": [1234567 + row for row in range(count)] for number in range(7)},
    }


@pytest.mark.parametrize("width", [40, 60, 80, 120])
@pytest.mark.parametrize(
    "columns",
    [WIDE, layers(12), {"name": ["a"], "note": [SENTENCE]}, {"name": ["a", "b"] * 6, "note": [SENTENCE] * 12}],
    ids=["runs", "layers", "note", "notes"],
)
def test_a_table_fits_and_breaks_no_number_and_no_header(
    width: int, columns: dict[str, list], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    drawn = tables.render({"figures": Rows(columns)}, "table")
    assert max(map(table_layout.length, drawn.splitlines())) <= width
    assert "…" not in drawn
    cells = {cell.strip() for line in drawn.splitlines() for cell in re.split(r"[│┃]|  ", line)}
    cells |= {part for line in drawn.splitlines() for part in re.split(r"[ (),]+|: ", line)}  # what the title says
    for column in tables.drawable(Rows(columns)):
        assert column.name in cells, f"the header {column.name} is broken"
        assert column.is_sentence or set(column.cells) <= cells
    words = " ".join(re.sub("[│┃]", " ", drawn).split())
    assert "note" not in columns or all(word in words for word in SENTENCE.split())


def test_wide_rows_turn_into_a_row_for_each_figure() -> None:
    wanted = """\
scores (split: test)
┏━━━━━━━━━━┳━━━━━━━━━┳━━━━━━━━━━┓
┃ run      ┃   first ┃   second ┃
┡━━━━━━━━━━╇━━━━━━━━━╇━━━━━━━━━━┩
│ examples │     360 │      360 │
│ accuracy │  0.9167 │   0.8056 │
│ loss     │ 12.3457 │ 0.001235 │
└──────────┴─────────┴──────────┘
"""
    frame = {"run": ["first", "second"], "split": ["test"] * 2, "examples": [360] * 2}
    frame |= {"accuracy": [0.91667, 0.80556], "loss": [12.34567, 0.0012346]}
    assert draw("scores", tables.drawable(Rows(frame)), 40, False) == wanted


def test_one_row_turns_into_figures_and_values() -> None:
    columns = tables.drawable(Rows({"run": ["a"], "parameters": [1234567], "multiply_adds": [5]}))
    lines = draw("total", columns, 34, False).splitlines()
    assert [re.sub(r"[│┃ ]+", " ", line).strip() for line in lines[2:-1:1] if "━" not in line] == [
        "figure value", "run a", "parameters 1,234,567", "multiply_adds 5",
    ]  # fmt: skip


def test_many_rows_come_in_parts_each_with_what_tells_its_rows_apart() -> None:
    columns = [
        Column("run", ("a",) * 9 + ("b",) * 9, False),
        Column("class", tuple("123456789" * 2), False),
        *(Column(f"figure_{number}", ("0.1234",) * 18, True) for number in range(6)),
    ]
    drawn = draw("classes", columns, 45, False)
    headers = [re.findall(r"\w+", line) for line in drawn.splitlines() if line.startswith("┃")]
    assert len(headers) > 1
    assert all(header[:2] == ["run", "class"] for header in headers)
    assert [name for header in headers for name in header[2:]] == [f"figure_{number}" for number in range(6)]


def test_without_a_width_a_table_is_as_wide_as_it_needs() -> None:
    columns = tables.drawable(Rows({"x": [SENTENCE], "y": ["z" * 500]}))
    assert SENTENCE in draw("t", columns, None, False)


def test_wide_characters_take_two_columns() -> None:
    columns = [Column("name", ("日本語", "a"), False), Column("n", ("1", "2"), True)]
    lines = draw("t", columns, 80, False).splitlines()[1:]
    assert len({table_layout.length(line) for line in lines}) == 1


@pytest.mark.parametrize(
    ("name", "values", "cells"),
    [
        ("seconds", [31.816, 2.72, 0.02712, 312.4], ["31.8", "2.7", "0.027", "312"]),
        ("epochs", [60.0, 3.5], ["60", "3.5"]),
        ("epoch", [0.0, 12.0, 0.0731707], ["0", "12", "0.07317"]),
        ("learning_rate", [0.002, 0.1, 1e-5], ["0.002", "0.1", "1e-05"]),
        ("examples", [360.0, np.nan], ["360", ""]),
        ("accuracy", [1.0, 0.0], ["1.0000", "0.0000"]),
        ("loss", [12345.678, 0.5], ["12,345.7", "0.5000"]),
    ],
)
def test_numbers_are_written_as_people_write_them(name: str, values: list[float], cells: list[str]) -> None:
    (column,) = tables.drawable(pd.DataFrame({name: values}))
    assert list(column.cells) == cells


# -- the confusion matrix -------------------------------------------------------------------------------

CIFAR = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]


def counts() -> list[list[int]]:
    """Those of scikit-learn; 1,000 examples a class."""
    generator = np.random.default_rng(0)
    true = np.repeat(np.arange(10), 1000)
    predicted = np.where(generator.random(10_000) < 0.6, true, generator.integers(0, 10, 10_000))
    return confusion_matrix(true, predicted).tolist()


@pytest.mark.parametrize("width", [60, 80, 120, None])
def test_ten_classes_are_one_matrix_that_names_its_axes(width: int | None) -> None:
    drawn = matrix("confusion of a", CIFAR, counts(), width)
    lines = drawn.splitlines()
    assert width is None or max(map(len, lines)) <= width
    assert "rows: true, columns: predicted" in lines[0]
    assert sum("predicted" in line for line in lines[1:]) == 1
    rows = lines[-10:]
    assert [list(map(int, row.split()[-10:])) for row in rows] == counts()
    assert all(name in drawn for name in CIFAR)
    assert lines[-11].split()[0] == "true"
    assert lines[-11].split()[1:] in (CIFAR, list(map(str, range(10))))


def test_a_matrix_of_many_classes_comes_in_parts() -> None:
    names = [f"class number {number}" for number in range(40)]
    drawn = matrix("confusion of a", names, np.eye(40, dtype=int).tolist(), 60)
    assert max(map(len, drawn.splitlines())) <= 60
    assert sum(line.strip() == "predicted" for line in drawn.splitlines()) > 1
    heads = [line.split()[1:] for line in drawn.splitlines() if line.startswith("true")]
    assert [int(number) for head in heads for number in head] == list(range(40))
