"""Rows of tables as inputs: those of reading the file whole, in parts; one bad row takes no other with it."""

from __future__ import annotations

import gzip
import io
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from dltool.data.formats import table_file
from dltool.data.formats.table_file import Format
from dltool.data.inputs import tables
from dltool.data.inputs.tables import TableRows

FACTS = {
    "features": {"a": "float_normalized", "c": "string_categorical"},
    "categories": {"c": ["EU", "US", "NA"]},
}


def read(source: bytes | str | Path, form: Format = Format(), size: int = 256, **facts: Any) -> tuple[Any, list[str]]:  # noqa: B008
    """Return rows, columns by name and the lines on what was left out."""
    paths, stdin = ([str(source)], None) if isinstance(source, Path) else (["-"], io.BytesIO(as_bytes(source)))
    left_out: list[str] = []
    batches = list(TableRows(paths, {**FACTS, **facts}, form, stdin).batches(size, left_out.append))
    rows = [row for batch in batches for row in batch.places]
    x = {name: [value for batch in batches for value in batch.x[name]] for name in "ac"} if batches else {}
    return (rows, x), left_out


def as_bytes(text: bytes | str) -> bytes:
    return text if isinstance(text, bytes) else text.encode()


@pytest.mark.parametrize("size", [1, 2, 8192])
@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("0.2", "row 2: has 1 cell, the header has 3"),
        ("0.2,EU,02,9", "row 2: has 4 cells, the header has 3"),
        (b"0.2,\xff,02", "row 2: is not UTF-8"),
        ('0.2,"EU"x,02', "row 2: ',' expected after '\"'"),
        ("many,EU,02", "row 2: column 'a' must be a number. Got 'many'"),
        ("1e60,EU,02", "row 2: column 'a' must be a finite float32 number. Got '1e60'"),
        ("0.2,,02", "row 2: column 'c' has no value"),
    ],
)
def test_one_bad_row_is_left_out_by_its_number_and_all_others_are_read(
    row: str | bytes, reason: str, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "ROWS", size)
    text = b"a,c,d\n0.1,EU,01\n\n0.5,US,01\n" + as_bytes(row) + b"\n0.3,US,X1\n"
    fillers = {"fill_values": {"a": 9.0}, "categories": {}}  # a short row must not be filled
    (rows, x), left_out = read(text, Format(missing=[]), **fillers)
    assert rows == [0, 1, 3] and x["c"] == ["EU", "US", "US"]
    np.testing.assert_array_equal(x["a"], np.array([0.1, 0.5, 0.3], np.float32))
    assert len(left_out) == 1 and reason in left_out[0]


def test_many_rows_in_parts_are_those_of_the_file_read_whole(tmp_path: Path) -> None:
    """Against `table_file.read`; quoted cells with separators, quotes and line ends come by another way than others."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"a": rng.normal(size=999).round(4), "c": rng.choice(["EU", "US", "x"], 999)})
    frame.loc[500:600, "c"] = 'a "quoted", cell\nof two lines'
    path = tmp_path / "t.csv.gz"
    path.write_bytes(gzip.compress(frame.to_csv(index=False).encode()))
    whole = table_file.read(path, Format()).frame
    (rows, x), left_out = read(path, size=100, categories={})
    assert rows == list(range(999)) and left_out == []
    assert x["c"] == whole["c"].tolist()
    np.testing.assert_array_equal(x["a"], whole["a"].astype(float).astype(np.float32))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a;c\n0.1;EU\n", "there is no column 'a'. The header holds ';': set 'separator' to it."),
        ("a,C\n0.1,EU\n", "there is no column 'c'. Did you mean 'C'?"),
        ("a,a,c\n0.1,5,EU\n", "has more than one column 'a': rename or remove one."),
        ("a,c\n", "has a header but no rows"),
        ("\n\n", "is empty"),
        ("a,c\n".encode("utf-16"), "is not UTF-8"),
    ],
)
def test_a_table_without_what_is_needed_is_one_line(text: str | bytes, reason: str) -> None:
    _, left_out = read(text)
    assert len(left_out) == 1 and reason in left_out[0]


def test_a_damaged_archive_gives_the_rows_before_the_damage(tmp_path: Path) -> None:
    path = tmp_path / "t.csv.gz"
    text = "a,c\n" + "".join(f"{number},EU\n" for number in np.random.default_rng(0).normal(size=20_000))
    path.write_bytes(gzip.compress(text.encode())[:-20_000])
    (rows, _), left_out = read(path)
    assert rows == list(range(len(rows))) and len(rows) > 8192
    assert len(left_out) == 1 and f"{path}: cannot be read" in left_out[0]


def test_words_for_missing_cells_are_those_of_training() -> None:
    (_, x), left_out = read("a,c\n0.1,NA\n", Format(missing=[]))
    assert x["c"] == ["NA"] and left_out == []
    _, left_out = read("a,c\n0.1,NA\n")
    assert "has no value (it is empty or 'NA')" in left_out[0]


def test_a_named_index_of_parquet_is_a_column_as_it_is_when_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    pd.DataFrame({"c": ["EU", "US"], "a": [0.5, 0.25]}).set_index("c").to_parquet(path)
    assert set(table_file.read(path, Format()).frame.columns) == {"a", "c"}
    (rows, x), left_out = read(path)
    assert (rows, x["c"], [float(value) for value in x["a"]], left_out) == ([0, 1], ["EU", "US"], [0.5, 0.25], [])


def test_thousands_of_bad_rows_take_no_search_each(monkeypatch: pytest.MonkeyPatch) -> None:
    """A part of a table is read twice at most, however many of its rows are bad."""
    read_columns = []
    own = TableRows._columns
    monkeypatch.setattr(TableRows, "_columns", lambda self, table: read_columns.append(1) or own(self, table))
    (rows, _), left_out = read("a,c\n" + "zz,EU\n1,EU\n" * 3000)
    assert len(rows) == len(left_out) == 3000 and len(read_columns) == 2
