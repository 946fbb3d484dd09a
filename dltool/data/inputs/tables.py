"""Rows of CSV and Parquet files, or of a stream, as a model's inputs, some thousand at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from dltool.data.formats import table_columns, table_file
from dltool.data.formats.table_file import Format, Table
from dltool.data.inputs.base import Batch
from dltool.errors import suggest_or_list

STDIN = "-"
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
            first = 0
            try:
                for table in self._tables(path):
                    self._check(table)
                    for rows, x in self._examples(table, np.arange(len(table.frame)), leave_out):
                        for start in range(0, len(rows), size):
                            some = slice(start, start + size)
                            chosen = {name: column[some] for name, column in x.items()}
                            yield Batch(self._places(path, first + rows[some]), chosen)
                    first += len(table.frame)
            except (ValueError, OSError) as error:
                leave_out(str(error) if isinstance(error, ValueError) else f"{path}: {error.strerror}.")

    def _tables(self, path: str) -> Iterator[Table]:
        if path == STDIN and self.stdin is not None:
            return table_file.chunks(self.stdin, "standard input", self.form, ROWS)
        if not Path(path).is_file():
            raise ValueError(f"{path}: there is no such file.")
        return table_file.chunks(Path(path), path, self.form, ROWS)

    def _places(self, path: str, rows: np.ndarray) -> Sequence[Any]:
        """Return the rows from 0; of several files with the file before each."""
        return rows.tolist() if len(self.paths) == 1 else [f"{path}:{row}" for row in rows]

    def _check(self, table: Table) -> None:
        held = [str(name) for name in table.frame.columns]
        for name in self.facts["features"]:
            if name not in held:
                remedy = table_file.other_separator(table) or suggest_or_list(name, held)
                raise ValueError(f"{table.path}: there is no column '{name}'.{remedy}")

    def _examples(
        self, table: Table, rows: np.ndarray, leave_out: Callable[[str], None]
    ) -> Iterator[tuple[np.ndarray, dict[str, np.ndarray]]]:
        """Yield rows that can be read and their columns; one that cannot is searched for by halving."""
        try:
            yield rows, self._columns(table)
        except ValueError as error:
            if len(rows) == 1:
                leave_out(str(error))
                return
            half = len(rows) // 2
            for part in (slice(0, half), slice(half, None)):
                some = replace(table, frame=table.frame.iloc[part], first=table.first + (part.start or 0))
                yield from self._examples(some, rows[part], leave_out)

    def _columns(self, table: Table) -> dict[str, np.ndarray]:
        fillers, known = self.facts.get("fill_values", {}), self.facts.get("categories", {})
        return {
            name: table_columns.column(table, name, kind, fillers.get(name), known.get(name)).values
            for name, kind in self.facts["features"].items()
        }
