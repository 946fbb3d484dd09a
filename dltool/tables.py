"""Frames as rich tables, CSV or JSON."""

from __future__ import annotations

import csv
import io
import json
import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dltool.control_characters import visible, visible_json, visible_lines

if TYPE_CHECKING:
    import pandas as pd


class Rows:
    """Columns of equal length, for commands that answer before pandas would be imported.

    Args:
        columns: name -> values, lists or arrays.
    """

    def __init__(self, columns: Mapping[str, Any]) -> None:
        self.columns = {name: list(_listed(values)) for name, values in columns.items()}

    @classmethod
    def of(cls, rows: Sequence[Mapping[str, Any]]) -> Rows:
        """Rows of name -> value; columns in the order in which they first appear, None where a row has no value."""
        names = dict.fromkeys(name for row in rows for name in row)
        return cls({name: [row.get(name) for row in rows] for name in names})

    def records(self) -> Iterable[tuple[Any, ...]]:
        return zip(*self.columns.values(), strict=True)

    def to_csv(self) -> str:
        """As `DataFrame.to_csv` writes it: what is missing is empty."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(self.columns)
        writer.writerows([["" if _is_missing(value) else value for value in row] for row in self.records()])
        return text.getvalue()


def render(report: Mapping[str, pd.DataFrame | Rows], form: str, csv_section: str | None = None) -> str:
    """A report as text.

    Args:
        report: title -> frame, in order.
        form: "table" (all sections, for people), "csv" (one section) or "json" (all, title -> rows).
        csv_section: the section that CSV gives; the first by default.
    """
    if form == "json":
        rows = {title: _rows(frame) for title, frame in report.items()}
        return visible_json(json.dumps(rows, indent=2, ensure_ascii=False)) + "\n"
    if form == "csv":
        frame = report[csv_section or next(iter(report))]
        text = frame.to_csv() if isinstance(frame, Rows) else frame.to_csv(index=False, lineterminator="\n")
        return visible_lines(text) if sys.stdout.isatty() else text
    return "\n".join(_table(title, frame) for title, frame in report.items())


def _table(title: str, frame: pd.DataFrame | Rows) -> str:
    """One table, as wide as it needs where there is no terminal; on one, long cells fold."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    terminal = sys.stdout.isatty()
    table = Table(
        title=Text(visible(title)),
        title_justify="left",
        title_style="bold",
        header_style="bold",
        caption_justify="left",
    )
    columns = _columns(frame)
    for name, values in columns:
        numeric = all(isinstance(_plain(value), int | float | None) for value in values)
        table.add_column(Text(visible(str(name))), justify="right" if numeric else "left", overflow="fold")
    for row in zip(*(values for _, values in columns), strict=True):
        table.add_row(*(Text(_cell(value)) for value in row))
    out = io.StringIO()
    width = Console(stderr=False).width if terminal else 10_000
    console = Console(file=out, width=width, force_terminal=terminal, highlight=False)
    console.print(table)
    return out.getvalue()


def _cell(value: Any) -> str:
    if isinstance(value, float) and math.isinf(value):
        return "inf" if value > 0 else "-inf"
    value = _plain(value)
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.4f}" if 0.1 <= abs(value) < 1e4 or value == 0 else f"{value:.4g}"
    return visible(str(value))


def _columns(frame: pd.DataFrame | Rows) -> list[tuple[str, list[Any]]]:
    """Names, of which a frame may have two alike, and values."""
    if isinstance(frame, Rows):
        return list(frame.columns.items())
    return [(str(name), list(frame.iloc[:, index])) for index, name in enumerate(frame.columns)]


def _rows(frame: pd.DataFrame | Rows) -> list[dict[str, Any]]:
    columns = _columns(frame)
    names = [name for name, _ in columns]
    return [
        {name: _plain(value) for name, value in zip(names, row, strict=True)}
        for row in zip(*(values for _, values in columns), strict=True)
    ]


def _listed(values: Any) -> Any:
    return values.tolist() if hasattr(values, "tolist") else values


def _is_missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def _plain(value: Any) -> Any:
    """NumPy's values as Python's; what is missing or not finite as None, which JSON can say; else text."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if type(value).__name__ in ("NAType", "NaTType") or (isinstance(value, float) and not math.isfinite(value)):
        return None
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)
