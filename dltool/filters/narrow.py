"""Tables of units and methods that fit a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dltool.filters.options import Rows

KEYS = {"units": ("layer", "unit"), "methods": ("method",)}  # title -> what a row is known by


def apart(report: Mapping[str, Rows], columns: Mapping[str, Sequence[str]]) -> dict[str, Rows]:
    """Return the report with some columns of units or methods moved to tables of their own.

    Args:
        columns: title -> names; rows that have none of them are left out there.
    """
    moved = {name for names in columns.values() for name in names}
    found: dict[str, Rows] = {}
    for title, rows in report.items():
        found[title] = rows
        if title not in KEYS:
            continue
        found[title] = [{name: value for name, value in row.items() if name not in moved} for row in rows]
        for other, names in columns.items():
            having = [row for row in rows if any(row.get(name) is not None for name in names)]
            if having:
                found[other] = [{name: row[name] for name in (*KEYS[title], *names)} for row in having]
    return found
