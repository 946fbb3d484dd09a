"""Warnings on columns of a table that hardly say to a model what the user means."""

from __future__ import annotations

import re

import numpy as np

from dltool.data.formats import table_columns
from dltool.data.formats.table_columns import INTEGER, NUMERIC, STRING
from dltool.data.formats.table_file import Table

FEW_ROWS = 20  # a table of fewer says nothing of how values repeat
ALMOST_ALL = 0.9  # different values a row, from which on a category hardly repeats
MOSTLY = 0.95  # share of the values that look alike
TEXT_LENGTH = 20  # characters, from which on values with spaces are taken for free text
_WITH_COMMA = re.compile(r"\s*[+-]?(\d{1,3}(\.\d{3})+|\d*),\d+\s*|\s*[+-]?\d{1,3}(,\d{3})+(\.\d*)?\s*")
_NUMBER = re.compile(r"\s*[+-]?\d+\s*")


def hints(table: Table, kinds: dict[str, str], listed: dict[str, str], target: str, classes: bool) -> list[str]:
    """Return what a user should know of columns, one line each.

    Args:
        kinds: of the input columns.
        listed: those whose kind the user chose.
        target: the target column.
        classes: whether targets are classes.
    """
    found = []
    if table.numbered:
        found.append(f"{table.path}: the first column has no name and numbers the rows: it is left out")
    if classes and (hint := _commas(table, target)):
        found.append(f"{table.path}: the target '{target}' {hint}")
    for name, kind in kinds.items():
        hint = None if listed.get(name) == "numeric" else _of_numbers(table, name) if kind == NUMERIC else None
        if kind in (STRING, INTEGER):
            hint = (_commas(table, name) if kind == STRING else None) or _of_categories(table, name)
        if hint:
            found.append(f"{table.path}: column '{name}' {hint}")
    return found


def _commas(table: Table, name: str) -> str | None:
    """Return a hint if the categories are numbers with commas for decimals or thousands."""
    if table.lines is None or table.format.decimal == ",":
        return None
    distinct = table_columns.distinct_texts(table, name)[1]
    commas = [text for text in distinct if _WITH_COMMA.fullmatch(text)]
    alike = len(commas) + sum(bool(_NUMBER.fullmatch(text)) for text in distinct)
    if not commas or alike < MOSTLY * len(distinct):
        return None
    return (
        f"looks like numbers with commas ({commas[0].strip()}) but is read as categories: "
        "set decimal: ',', or take the commas between thousands out"
    )


def _of_categories(table: Table, name: str) -> str | None:
    """Return a hint if almost every row has a category of its own."""
    codes, distinct = table_columns.distinct_texts(table, name)
    present = int((codes >= 0).sum())
    if present < FEW_ROWS or len(distinct) < ALMOST_ALL * present:
        return None
    lengths = np.array([len(text) for text in distinct])
    spaced = np.mean([" " in text.strip() for text in distinct])
    kind = "free text" if spaced > 0.5 and lengths.mean() > TEXT_LENGTH else "an id"
    return (
        f"looks like {kind}: {len(distinct):,} different values in {present:,} rows, from which a model learns nothing "
        "that holds for other rows. Add it to 'ignore'"
    )


def _of_numbers(table: Table, name: str) -> str | None:
    """Return a hint if whole numbers name or number the rows."""
    parsed = table_columns.numbers(table, name)
    if parsed is None:
        return None
    if table_columns.are_codes(table, name):
        return "is read as numbers but looks like codes (leading zeros, or too many digits): add it to 'categorical'"
    present = parsed[~np.isnan(parsed)] if parsed.dtype.kind == "f" else parsed
    if len(present) < FEW_ROWS or len(np.unique(present)) < len(present) or np.any(present != np.floor(present)):
        return None
    if not (present.max() - present.min() == len(present) - 1 or re.search(r"(?:^|[\W_])id$|Id$|ID$", name)):
        return None
    return f"looks like an id: {len(present):,} different whole numbers in {len(present):,} rows. Add it to 'ignore'"
