"""Rows of CSV and Parquet files, or of a stream, as a model's inputs, some thousand at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from dltool.data.formats import table_columns, table_stream
from dltool.data.formats.table_file import Format, Table
from dltool.data.inputs.base import STDIN, Batch

ROWS = 8192  # read at a time


class TableRows:
    """The columns that a run was trained on, read as training read them; other columns are ignored.

    Args:
        paths: files; "-" is `stdin`.
        facts: of the run's data: `features`, and where there are any `fill_values` and `categories`.
        form: how the cells of CSV files are written.
        stdin: CSV.
    """

    word = "row"

    def __init__(
        self, paths: Sequence[str], facts: Mapping[str, Any], form: Format, stdin: BinaryIO | None = None
    ) -> None:
        self.paths, self.facts, self.form, self.stdin = paths, facts, form, stdin

    def batches(self, size: int, leave_out: Callable[[str], None]) -> Iterator[Batch]:
        for path in self.paths:
            try:
                for table in self._tables(path, leave_out):
                    rows, x = self._examples(table, leave_out)
                    for start in range(0, len(rows), size):
                        some = slice(start, start + size)
                        yield Batch(self._places(path, rows[some]), {name: column[some] for name, column in x.items()})
            except (ValueError, OSError) as error:
                leave_out(str(error) if isinstance(error, ValueError) else f"{path}: {error.strerror}.")

    def _tables(self, path: str, leave_out: Callable[[str], None]) -> Iterator[Table]:
        source: Path | BinaryIO = Path(path)
        shown = path
        if path == STDIN and self.stdin is not None:
            source, shown = self.stdin, "standard input"
        elif not Path(path).is_file():
            raise ValueError(f"{path}: there is no such file.")
        return table_stream.chunks(source, shown, self.form, list(self.facts["features"]), ROWS, leave_out)

    def _places(self, path: str, rows: np.ndarray) -> Sequence[Any]:
        """Return the rows from 0; of several files with the file before each."""
        return rows.tolist() if len(self.paths) == 1 else [f"{path}:{row}" for row in rows]

    def _examples(self, table: Table, leave_out: Callable[[str], None]) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Return the rows that can be read and their columns."""
        assert table.rows is not None
        try:
            return table.rows, self._columns(table)
        except ValueError:
            faults: dict[int, str] = {}
            for name, *how in self._features():
                faults = table_columns.faults(table, name, *how) | faults
            if not faults:
                raise
        for row in sorted(faults):
            leave_out(faults[row])
        kept = np.setdiff1d(np.arange(len(table.frame)), list(faults))
        if not len(kept):
            return kept, {}
        some = replace(table, frame=table.frame.iloc[kept].reset_index(drop=True), rows=table.rows[kept])
        return table.rows[kept], self._columns(some)

    def _columns(self, table: Table) -> dict[str, np.ndarray]:
        return {name: table_columns.column(table, name, *how).values for name, *how in self._features()}

    def _features(self) -> Iterator[tuple[str, str, Any, Any]]:
        """Yield of each column its name, kind, filler and known categories."""
        fillers, known = self.facts.get("fill_values", {}), self.facts.get("categories", {})
        for name, kind in self.facts["features"].items():
            yield name, kind, fillers.get(name), known.get(name)
