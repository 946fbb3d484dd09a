"""DataFrames as rich tables, CSV or JSON."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd


def render(report: Mapping[str, pd.DataFrame], form: str, csv_section: str | None = None) -> str:
    """A report as text.

    Args:
        report: title -> frame, in order.
        form: "table" (all sections, for people), "csv" (one section) or "json" (all, title -> rows).
        csv_section: the section that CSV gives; the first by default.
    """
    if form == "json":
        rows = {title: [_row(row) for row in frame.to_dict("records")] for title, frame in report.items()}
        return json.dumps(rows, indent=2, ensure_ascii=False) + "\n"
    if form == "csv":
        return report[csv_section or next(iter(report))].to_csv(index=False, lineterminator="\n")
    return "\n".join(_table(title, frame) for title, frame in report.items())


def _table(title: str, frame: pd.DataFrame) -> str:
    """One table, as wide as it needs where there is no terminal; on one, long cells fold."""
    import io

    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    terminal = sys.stdout.isatty()
    table = Table(
        title=Text(title),
        title_justify="left",
        title_style="bold",
        header_style="bold",
        caption_justify="left",
    )
    for name in frame.columns:
        numeric = all(isinstance(_plain(value), int | float | None) for value in frame[name])
        table.add_column(Text(str(name)), justify="right" if numeric else "left", overflow="fold")
    for row in frame.itertuples(index=False):
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
        return f"{value:.4f}" if 1e-3 <= abs(value) < 1e4 or value == 0 else f"{value:.4g}"
    return str(value)


def _row(row: Mapping[Any, Any]) -> dict[str, Any]:
    return {str(name): _plain(value) for name, value in row.items()}


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
