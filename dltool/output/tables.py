"""Frames as tables for people, CSV or JSON."""

from __future__ import annotations

import csv
import io
import json
import math
import os
import re
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TextIO

from dltool.errors import messages
from dltool.errors.control_characters import visible, visible_json, visible_lines
from dltool.output import table_layout
from dltool.output.table_layout import Column

if TYPE_CHECKING:
    import pandas as pd

PLAIN = re.compile(  # names of columns whose numbers are no measurements: they are written as they were chosen
    r"(|\w+_)(epochs?|steps?|learning_rate|momentum|beta_1|weight_decay|rate)|peak|minimum|final|mean|area|logged|planned"
)


class Rows:
    """Columns of equal length, for commands that answer before pandas would be imported.

    Args:
        columns: name -> values, lists or arrays.
    """

    def __init__(self, columns: Mapping[str, Any]) -> None:
        self.columns = {name: list(_listed(values)) for name, values in columns.items()}

    @classmethod
    def of(cls, rows: Sequence[Mapping[str, Any]]) -> Rows:
        """Return rows of name -> value.

        Columns are in the order in which they first appear, None where a row has no value.
        """
        names = dict.fromkeys(name for row in rows for name in row)
        return cls({name: [row.get(name) for row in rows] for name in names})

    def records(self) -> Iterable[tuple[Any, ...]]:
        return zip(*self.columns.values(), strict=True)

    def to_csv(self) -> str:
        """Return CSV as `DataFrame.to_csv` writes it: missing values are empty."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(self.columns)
        writer.writerows([["" if _is_missing(value) else value for value in row] for row in self.records()])
        return text.getvalue()


def render(
    report: Mapping[str, pd.DataFrame | Rows], form: str, csv_section: str | None = None, stream: TextIO | None = None
) -> str:
    """Return a report as text.

    Args:
        report: title -> frame, in order.
        form: "table" (all sections, for people), "csv" (one section) or "json" (all, title -> rows).
        csv_section: the section that CSV gives; the first by default.
        stream: what it is written to, whose width and characters it keeps to; stdout by default.
    """
    stream = stream or sys.stdout
    if form == "json":
        rows = {title: _rows(frame) for title, frame in report.items()}
        return visible_json(json.dumps(rows, indent=2, ensure_ascii=not messages.is_unicode(stream))) + "\n"
    if form == "csv":
        frame = report[csv_section or next(iter(report))]
        text = frame.to_csv() if isinstance(frame, Rows) else frame.to_csv(index=False, lineterminator="\n")
        return visible_lines(text) if stream.isatty() else text
    return "\n".join(_table(title, frame, stream) for title, frame in report.items())


def width_of(stream: TextIO | None = None) -> int | None:
    """Return the characters of a terminal's line, or of $COLUMNS where that is set; None for any other stream.

    Args:
        stream: stdout by default.
    """
    stream = stream or sys.stdout
    columns = os.environ.get("COLUMNS", "")
    if columns.isdecimal() and int(columns) > 0:
        return int(columns)
    if not stream.isatty():
        return None
    try:
        return os.get_terminal_size(stream.fileno()).columns or None
    except (OSError, ValueError):
        return shutil.get_terminal_size().columns


def _table(title: str, frame: pd.DataFrame | Rows, stream: Any) -> str:
    """Return one table, as wide as needed without a terminal, otherwise as its width allows."""
    columns = [
        replace(
            column,
            name=messages.as_shown(column.name, stream),
            cells=tuple(messages.as_shown(cell, stream) for cell in column.cells),
        )
        for column in drawable(frame)
    ]
    return table_layout.draw(visible(title), columns, width_of(stream), stream.isatty())


def drawable(frame: pd.DataFrame | Rows) -> list[Column]:
    """Return a frame's columns, ready to be drawn."""
    found = []
    for name, values in _columns(frame):
        numeric = all(isinstance(_plain(value), int | float | None) for value in values)
        found.append(Column(visible(str(name)), tuple(_cells(str(name), values)), numeric))
    return found


def _cells(name: str, values: Sequence[Any]) -> list[str]:
    """Return a column's values as people write them: seconds, counts and rates by their names, others alike."""
    numbers = [value for value in map(_plain, values) if isinstance(value, float)]
    write = _cell
    if name.endswith("seconds"):
        write = _seconds
    elif PLAIN.fullmatch(name) or (numbers and max(map(abs, numbers)) > 1 and all(map(float.is_integer, numbers))):
        write = _shortest  # the latter are counts of which some are missing
    return [write(value) for value in values]


def _seconds(value: Any) -> str:
    """Return a duration: 0.027, 2.7, 31.8, 312."""
    number = _plain(value)
    if not isinstance(number, float):
        return _cell(value)
    return f"{number:,.0f}" if abs(number) >= 100 else f"{number:.1f}" if abs(number) >= 1 else f"{number:.2g}"


def _shortest(value: Any) -> str:
    """Return a number without zeros at its end: 60, 3.5, 0.001."""
    number = _plain(value)
    if not isinstance(number, float):
        return _cell(value)
    return f"{number:,.0f}" if number.is_integer() and 10 <= abs(number) < 1e9 else f"{number:.4g}"


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
        if 1e3 <= abs(value) < 1e9:
            return f"{value:,.1f}" if abs(value) < 1e5 else f"{value:,.0f}"
        return f"{value:.4f}" if 0.1 <= abs(value) < 1e3 or value == 0 else f"{value:.4g}"
    return visible(str(value))


def _columns(frame: pd.DataFrame | Rows) -> list[tuple[str, list[Any]]]:
    """Return names, of which a frame may have two alike, and values."""
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
