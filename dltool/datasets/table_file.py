"""CSV and Parquet files as columns of text or numbers, with the line of every row."""

from __future__ import annotations

import csv
import gzip
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

SUFFIXES = (".csv", ".csv.gz", ".tsv", ".tsv.gz", ".txt", ".parquet")


@dataclass(frozen=True)
class Table:
    """Columns of a file.

    Args:
        path: where they came from.
        frame: one column each, of text (missing: NaN) or, from Parquet, of any type.
        lines: number of the line in the file, from 1, that each row ends on; None for Parquet.
    """

    path: Path
    frame: pd.DataFrame
    lines: np.ndarray | None

    def where(self, row: int) -> str:
        """The place of a row (from 0) in words."""
        return f"row {row + 1}" if self.lines is None else f"line {self.lines[row]}"


def read(path: Path, separator: str) -> Table:
    """Reads the file whole; CSV cells stay text, so that the same text means the same in every file.

    Raises:
        ValueError: if the file is empty, has no rows, repeated column names, ragged rows or is not UTF-8.
    """
    table = _parquet(path) if path.name.endswith(".parquet") else _csv(path, separator)
    names = [str(name) for name in table.frame.columns]
    if not len(table.frame):
        raise ValueError(f"{path} has a header but no rows: add rows.")
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"{path} has more than one column '{name}': rename or remove one.")
    return table


def _csv(path: Path, separator: str) -> Table:
    header, lines = _walk(path, separator)
    import pandas as pd

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)
            frame = pd.read_csv(
                path,
                sep=separator,
                header=0,
                names=range(len(header)),
                index_col=False,
                dtype=str,
                encoding="utf-8-sig",
            )
    except (pd.errors.ParserError, pd.errors.ParserWarning) as error:
        raise ValueError(f"{path} cannot be read ({str(error).strip()}): check its quotes.") from error
    if len(frame) != len(lines):
        raise ValueError(f"{path} has {len(lines)} or {len(frame)} rows, depending on its quotes: correct them.")
    frame.columns = header
    return Table(path, frame, lines)


def _walk(path: Path, separator: str) -> tuple[list[str], np.ndarray]:
    """The header, and the line that each row ends on; every row must have as many cells as the header."""
    header, lines = None, []
    opener = gzip.open if path.name.endswith(".gz") else open
    try:
        with opener(path, "rt", encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, delimiter=separator, strict=True)
            for row in reader:
                if not row or (len(row) == 1 and not row[0].strip()):
                    continue  # a blank line, which pandas skips too
                if header is None:
                    header = row
                elif len(row) != len(header):
                    raise ValueError(
                        f"{path}: line {reader.line_num} has {len(row)} cells, the header has {len(header)}: "
                        f"correct it, or set 'separator' (now {separator!r})."
                    )
                else:
                    lines.append(reader.line_num)
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8 ({error.reason}, near byte {error.start}): convert it.") from error
    except csv.Error as error:
        raise ValueError(f"{path}: line {reader.line_num}: {error}: correct its quotes.") from error
    except (EOFError, gzip.BadGzipFile) as error:
        raise ValueError(f"{path} is cut short or damaged ({error}): fetch the file again.") from error
    if header is None:
        raise ValueError(f"{path} is empty: it needs a header line and rows.")
    for at, name in enumerate(header, 1):
        if not name.strip():
            raise ValueError(f"{path}: column {at} has no name: name it in the header.")
    return header, np.array(lines, np.int64)


def _parquet(path: Path) -> Table:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise ValueError(f"{path}: reading Parquet needs pyarrow: pip install 'dltool[parquet]'.") from error
    try:
        frame = pyarrow.parquet.ParquetFile(path).read().to_pandas()
    except (pyarrow.ArrowException, OSError) as error:
        raise ValueError(
            f"{path} is no readable Parquet file ({str(error).splitlines()[0]}): write it again."
        ) from error
    frame = frame.reset_index(drop=frame.index.name is None)
    frame.columns = [str(name) for name in frame.columns]
    return Table(path, frame, None)
