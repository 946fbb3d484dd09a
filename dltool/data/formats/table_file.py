"""CSV and Parquet files as columns of text or numbers, with the line of every row."""

from __future__ import annotations

import csv
import gzip
import sys
import warnings
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dltool.errors.damage import DamagedFileError, undamaged

if TYPE_CHECKING:
    import pandas as pd

SUFFIXES = (".csv", ".csv.gz", ".tsv", ".tsv.gz", ".txt", ".parquet")
SEPARATORS = ",;\t|"
# Cells that say nothing, in the words of pandas.read_csv; empty cells always count among them.
MISSING = ("NA", "N/A", "n/a", "NaN", "nan", "-NaN", "-nan", "NULL", "null", "None", "<NA>", "#N/A", "#N/A N/A", "#NA",
           "1.#IND", "1.#QNAN", "-1.#IND", "-1.#QNAN")  # fmt: skip


@dataclass(frozen=True)
class Format:
    """The format of a CSV file's cells.

    Args:
        separator: one character between cells; None: a tab in .tsv files, otherwise a comma.
        decimal: the character before the decimals of a number, "." or ",".
        missing: cells that count as missing, in addition to empty ones; None: `MISSING` (for Parquet: only empty ones).
    """

    separator: str | None = None
    decimal: str = "."
    missing: Collection[str | float] | None = None

    def separator_of(self, path: Path) -> str:
        """Return the separator of a file with this name."""
        if self.separator is not None:
            return self.separator
        return "\t" if path.name.lower().removesuffix(".gz").endswith(".tsv") else ","


@dataclass(frozen=True)
class Table:
    """Columns of a file.

    Args:
        path: where they came from.
        frame: one column each, of text (missing: NaN) or, from Parquet, of any type.
        lines: number of the line in the file, from 1, that each row ends on; None for Parquet.
        format: how the file's cells are written.
        numbered: whether a first column without a name, which numbered or named the rows, was left out.
        blanked: column -> the words in it that count as missing, empty cells aside.
        rows: the number of each row in the file, from 0, where the table is a part of it.
    """

    path: Path
    frame: pd.DataFrame
    lines: np.ndarray | None
    format: Format = field(default_factory=Format)
    numbered: bool = False
    blanked: dict[str, list[str]] = field(default_factory=dict)
    rows: np.ndarray | None = None

    @property
    def is_text(self) -> bool:
        """Return whether cells are text, as in CSV; Parquet files hold types."""
        return not self.path.name.lower().endswith(".parquet")

    def where(self, row: int) -> str:
        """Return the place of a row (from 0) in words; rows count from 0 as in tables of answers."""
        if self.lines is not None:
            return f"line {self.lines[row]}"
        return f"row {row if self.rows is None else self.rows[row]}"


def read(path: Path, form: Format) -> Table:
    """Read the file whole; CSV cells stay text, so that equal text means the same in every file.

    A first column without a name that numbers the rows, such as pandas writes for a table's index, is left out.

    Raises:
        ValueError: if the file is empty, has no rows, repeated column names, ragged rows or is not UTF-8.
    """
    table = _parquet(path, form) if path.name.lower().endswith(".parquet") else _csv(path, form)
    names = [str(name) for name in table.frame.columns]
    if not len(table.frame):
        raise ValueError(f"{path} has a header but no rows: add rows.")
    check_names(table.path, names)
    return table


def check_names(path: Path, names: Sequence[str]) -> None:
    """Raise `ValueError` if two columns have one name."""
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"{path} has more than one column '{name}': rename or remove one.")


def _csv(path: Path, form: Format) -> Table:
    separator = form.separator_of(path)
    header, lines = _walk(path, separator)
    import pandas as pd

    with undamaged(path, "check its quotes.", "cannot be read"), warnings.catch_warnings():
        warnings.simplefilter("error", pd.errors.ParserWarning)
        frame = pd.read_csv(
            path,
            sep=separator,
            header=0,
            names=range(len(header)),
            index_col=False,
            dtype=str,
            na_filter=False,
            encoding="utf-8-sig",
            compression="gzip" if path.name.lower().endswith(".gz") else None,
        )
    if len(frame) != len(lines):
        raise ValueError(f"{path} has {len(lines)} or {len(frame)} rows, depending on its quotes: correct them.")
    frame.columns = header
    numbered = not header[0].strip() and len(header) > 1 and frame.iloc[:, 0].is_unique
    if numbered:
        frame, header = frame.iloc[:, 1:].copy(), header[1:]
    for at, name in enumerate(header, 1 + numbered):
        if not name.strip():
            raise ValueError(f"{path}: column {at} has no name: name it in the header.")
    if len(set(header)) < len(header):
        return Table(path, frame, lines, form, numbered)  # an error, of which `read` says more
    return Table(path, frame, lines, form, numbered, blank(frame, MISSING if form.missing is None else form.missing))


def blank(frame: pd.DataFrame, words: Collection[str | float]) -> dict[str, list[str]]:
    """Make cells that say nothing NaN; the words found in each column, empty cells aside."""
    import pandas as pd

    numbers = [word for word in words if not isinstance(word, str)]
    texts = {"", *map(str, words), *(str(float(number)) for number in numbers)}
    found = {}
    for name in frame.columns:
        column = frame[name]
        missing = column.isin(numbers if pd.api.types.is_numeric_dtype(column) else texts)
        if missing.any():
            found[str(name)] = sorted({str(value) for value in column[missing].unique()} - {""})
            frame[name] = column.mask(missing)
    return found


def _walk(path: Path, separator: str) -> tuple[list[str], np.ndarray]:
    """Return the header and each row's last line. Raise if a row has another number of cells than the header."""
    header, lines = None, []
    opener = gzip.open if path.name.lower().endswith(".gz") else open
    with undamaged(path), _cells_of_any_length(), opener(path, "rt", encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, delimiter=separator, strict=True)
        try:
            for row in reader:
                if not row or (len(row) == 1 and not row[0].strip()):
                    continue  # a blank line, which pandas skips too
                if header is None:
                    header = row
                elif len(row) != len(header):
                    raise DamagedFileError(
                        f"{path}: line {reader.line_num} has {len(row)} cells, the header has {len(header)}: "
                        f"correct it, or set 'separator' (now {separator!r})."
                    )
                else:
                    lines.append(reader.line_num)
        except UnicodeDecodeError as error:
            said = f"{path} is not UTF-8 ({error.reason}, near byte {error.start}): convert it."
            raise DamagedFileError(said) from error
        except csv.Error as error:
            raise DamagedFileError(f"{path}: line {reader.line_num}: {error}: correct its quotes.") from error
    if header is None:
        raise ValueError(f"{path} is empty: it needs a header line and rows.")
    return header, np.array(lines, np.int64)


@contextmanager
def _cells_of_any_length() -> Iterator[None]:
    """Lift the csv module's limit of 131,072 characters a cell."""
    before = csv.field_size_limit(sys.maxsize)
    try:
        yield
    finally:
        csv.field_size_limit(before)


def other_separator(names: Sequence[str]) -> str:
    """Return a hint if the name of a CSV file's only column holds another separator, or ""."""
    if len(names) > 1:
        return ""
    held = [character for character in SEPARATORS if character in names[0]]
    return f" The header holds {held[0]!r}: set 'separator' to it." if held else ""


def parquet(path: Path) -> Any:
    """Return an opened Parquet file.

    Raises:
        DamagedFileError: pyarrow, which could tell, is missing.
    """
    try:
        import pyarrow.parquet
    except ImportError as error:
        raise DamagedFileError(f"{path}: reading Parquet needs pyarrow: pip install 'dltool[parquet]'.") from error
    return pyarrow.parquet.ParquetFile(path)


def frame_of(table: Any) -> pd.DataFrame:
    """Return the columns of a table of Arrow, those of a named index among them."""
    table.validate(full=True)  # text that is no UTF-8 would else be found when it is used
    frame = table.to_pandas()
    frame = frame.reset_index(drop=all(name is None for name in frame.index.names))
    frame.columns = [str(name) for name in frame.columns]
    return frame


def _parquet(path: Path, form: Format) -> Table:
    with undamaged(path, "write it again.", "is no readable Parquet file"):
        frame = frame_of(parquet(path).read())
    blanked = blank(frame, form.missing) if form.missing and frame.columns.is_unique else {}
    return Table(path, frame, None, form, blanked=blanked)
