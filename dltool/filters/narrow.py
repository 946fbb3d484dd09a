"""Tables of units that fit a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dltool.filters.options import Rows

KEYS = ("layer", "unit")


def apart(report: Mapping[str, Rows], columns: Mapping[str, Sequence[str]]) -> dict[str, Rows]:
    """The report with some columns of its units in tables of their own, which follow them.

    Args:
        columns: title -> names; units that have none of them are left out there.
    """
    moved = {name for names in columns.values() for name in names}
    found: dict[str, Rows] = {}
    for title, rows in report.items():
        found[title] = rows
        if title != "units":
            continue
        found[title] = [{name: value for name, value in row.items() if name not in moved} for row in rows]
        for other, names in columns.items():
            having = [row for row in rows if any(row.get(name) is not None for name in names)]
            if having:
                found[other] = [{name: row[name] for name in (*KEYS, *names)} for row in having]
    return found
