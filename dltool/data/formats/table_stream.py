"""CSV and Parquet files, or a stream of CSV, some thousand rows at a time, without the rows that cannot be read."""

from __future__ import annotations

import csv
import gzip
import io
import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from dltool.data.formats import table_file
from dltool.data.formats.table_file import MISSING, Format, Table
from dltool.errors import suggest_or_list
from dltool.errors.damage import undamaged

LONGEST = 1 << 24  # characters of a cell: a quote that is never closed takes no more rows with it

LeaveOut = Callable[[str], None]


def chunks(
    source: Path | BinaryIO, name: str, form: Format, columns: Sequence[str], size: int, leave_out: LeaveOut
) -> Iterator[Table]:
    """Read columns of a file or stream in parts of at most `size` rows, as `table_file.read` reads them.

    Args:
        source: a file, or a stream of CSV.
        name: for messages.
        columns: those that are needed; others are not read.
        leave_out: takes a line on each row of CSV that has too many or too few cells, stray quotes or is not UTF-8.
    Raises:
        ValueError: the file is empty or damaged, or lacks a column; what was read before is given first.
    """
    path = source if isinstance(source, Path) else Path(name)
    if _is_parquet(path):
        parts, words = _parquet_parts(path, columns, size), form.missing or ()
    else:
        parts = _csv_parts(source, path, form, columns, size, leave_out)
        words = MISSING if form.missing is None else form.missing
    for rows, frame in parts:
        blanked = table_file.blank(frame, words) if words or not _is_parquet(path) else {}
        yield Table(path, frame, None, form, blanked=blanked, rows=rows)


def _is_parquet(path: Path) -> bool:
    return path.name.lower().endswith(".parquet")


def _parquet_parts(path: Path, columns: Sequence[str], size: int) -> Iterator[tuple[np.ndarray, Any]]:
    first = 0
    frames = _parquet_frames(path, size)
    while True:
        with undamaged(path, "write it again.", "is no readable Parquet file"):
            frame = next(frames, None)
        if frame is None:
            break
        _check_header(path, list(frame.columns), columns)
        yield first + np.arange(len(frame)), frame[list(columns)]
        first += len(frame)
    if not first:
        raise ValueError(f"{path} has no rows: add rows.")


def _parquet_frames(path: Path, size: int) -> Iterator[Any]:
    for batch in table_file.parquet(path).iter_batches(size):
        yield table_file.frame_of(batch)


def _csv_parts(
    source: Path | BinaryIO, path: Path, form: Format, columns: Sequence[str], size: int, leave_out: LeaveOut
) -> Iterator[tuple[np.ndarray, Any]]:
    """Yield the numbers of rows and their columns of text; lines without quotes take no Python each."""
    separator = form.separator_of(path)
    header: list[str] | None = None
    at: list[int] = []
    first = 0  # number of the next row
    with _lines(source, path) as text, _long_cells():
        while True:
            lines, failure = _taken(text, 1 if header is None else size)
            if lines and header is None:
                with _reading(path):
                    rows, faults = _walk(lines, text, separator)
                if faults:
                    raise ValueError(f"{path}: the header: {faults[0]}")
                if rows:
                    (header,) = rows
                    _check_header(path, header, columns)
                    at = [header.index(column) for column in columns]
            elif lines and header is not None:
                frame = _plain(lines, separator, len(header), at, columns)
                if frame is not None:
                    numbers, count = np.arange(len(lines)), len(lines)
                else:
                    with _reading(path):
                        numbers, frame, faults, count = _careful(lines, text, separator, len(header), at, columns)
                    for row in sorted(faults):
                        leave_out(f"{path}: row {first + row}: {faults[row]}")
                if len(numbers):
                    yield first + numbers, frame
                first += count
            if failure is not None:
                with _reading(path):
                    raise failure
            if not lines:
                break
    if header is None:
        raise ValueError(f"{path} is empty: it needs a header line and rows.")
    if not first:
        raise ValueError(f"{path} has a header but no rows: add rows.")


def _reading(path: Path) -> AbstractContextManager[None]:
    return undamaged(f"{path}:", "replace it.", "cannot be read")


def _taken(items: Iterator[Any], size: int) -> tuple[list[Any], Exception | None]:
    """Return the next items, `size` at most, and what kept more from being read."""
    found: list[Any] = []
    try:
        found.extend(itertools.islice(items, size))  # what comes before a failure stays
    except Exception as error:  # a damaged archive, a failing disk, stray quotes
        return found, error
    return found, None


def _plain(lines: Sequence[str], separator: str, cells: int, at: Sequence[int], columns: Sequence[str]) -> Any | None:
    """Return columns of lines that have as many cells as the header, no quotes and no bad bytes; else None."""
    import pandas as pd

    if cells < 2 or not separator.isascii() or {*map(str.count, lines, itertools.repeat(separator))} != {cells - 1}:
        return None
    block = "".join(lines)
    if '"' in block or "\0" in block or not _is_text([block]):
        return None
    frame = pd.read_csv(
        io.StringIO(block, newline=""), sep=separator, header=None, names=range(cells), usecols=list(at),
        index_col=False, dtype=str, na_filter=False, quoting=csv.QUOTE_NONE,
    )  # fmt: skip
    if len(frame) != len(lines):
        return None
    return pd.DataFrame({name: frame[one] for name, one in zip(columns, at, strict=True)})


def _careful(
    lines: Sequence[str], more: Iterator[str], separator: str, cells: int, at: Sequence[int], columns: Sequence[str]
) -> tuple[np.ndarray, Any, dict[int, str], int]:
    """Return which rows of lines can be read, their columns, why other rows cannot, and how many rows there are."""
    import pandas as pd

    rows, faults = _walk(lines, more, separator)
    if {*map(len, rows)} - {cells}:
        remedy = f"Correct it, or set 'separator' (now {separator!r})."
        for number, row in enumerate(rows):
            if len(row) != cells and number not in faults:
                counted = f"{len(row)} cell{'s' * (len(row) != 1)}"
                faults[number] = f"has {counted}, the header has {cells}. {remedy}"
    if not _is_text(itertools.chain.from_iterable(rows)):
        faults |= {number: "is not UTF-8. Convert it." for number, row in enumerate(rows) if not _is_text(row)}
    kept = [number for number in range(len(rows)) if number not in faults]
    held = list(zip(*(rows[number] for number in kept), strict=True)) or [()] * cells
    frame = pd.DataFrame({name: pd.Series(held[one], dtype=str) for name, one in zip(columns, at, strict=True)})
    return np.array(kept, np.int64), frame, faults, len(rows)


def _walk(lines: Sequence[str], more: Iterator[str], separator: str) -> tuple[list[list[str]], dict[int, str]]:
    """Return the rows that lines hold but for blank ones, empty where quotes are wrong, and why they are.

    Args:
        more: the lines after them, to which a quoted cell may reach.
    """
    rows: list[list[str]] = []
    faults: dict[int, str] = {}
    reader = csv.reader(itertools.chain(lines, more), delimiter=separator, strict=True)
    left = len(lines)  # a row takes a line at least
    while left > 0:
        found, failure = _taken(reader, left)
        left -= len(found)
        # pandas skips blank lines too
        rows += [row for row in found if len(row) > 1 or (row and row[0].strip())]
        if failure is None:
            break
        if not isinstance(failure, csv.Error):
            raise failure
        faults[len(rows)] = f"{failure}. Correct its quotes."
        rows.append([])
        left -= 1
    return rows, faults


def _is_text(cells: Any) -> bool:
    """Return whether no cell holds bytes that were no UTF-8, which stand in it as lone surrogates."""
    try:
        "".join(cells).encode()
    except UnicodeEncodeError:
        return False
    return True


def _check_header(path: Path, header: Sequence[str], columns: Sequence[str]) -> None:
    if not _is_text(header):
        raise ValueError(f"{path} is not UTF-8: convert it.")
    table_file.check_names(path, header)
    for name in columns:
        if name not in header:
            other = "" if _is_parquet(path) else table_file.other_separator(header)
            raise ValueError(f"{path}: there is no column '{name}'.{other or suggest_or_list(name, header)}")


@contextmanager
def _lines(source: Path | BinaryIO, path: Path) -> Iterator[io.TextIOWrapper]:
    """Open a file or a stream as text in which bytes that are no UTF-8 stay as lone surrogates."""
    raw: Any = source
    if isinstance(source, Path):
        raw = (gzip.open if path.name.lower().endswith(".gz") else open)(source, "rb")
    text = io.TextIOWrapper(raw, encoding="utf-8-sig", errors="surrogateescape", newline="")
    try:
        yield text
    finally:
        text.detach()  # a stream is not ours to close
        if isinstance(source, Path):
            raw.close()


@contextmanager
def _long_cells() -> Iterator[None]:
    """Lift the csv module's limit of 131,072 characters a cell."""
    before = csv.field_size_limit(LONGEST)
    try:
        yield
    finally:
        csv.field_size_limit(before)
