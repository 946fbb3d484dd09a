"""Columns of a table as numbers, categories or classes, with missing values found or filled."""

from __future__ import annotations

import math
import numbers as abstract
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from dltool.data.formats.table_file import MISSING, Table

STATISTICS = ("mean", "median", "most_frequent")
# Kinds of input columns, in the words of keras.utils.FeatureSpace.
NUMERIC, STRING, INTEGER = "float_normalized", "string_categorical", "integer_categorical"
CODE = re.compile(r"[+-]?0[0-9]+")  # a number that a leading zero makes more than a number: 00501
_WHOLE = re.compile(r"[+-]?[0-9]+")
_WHOLE_WITH_POINT = re.compile(r"([+-]?[0-9]+)\.0*")
_MUST_BE = {NUMERIC: "a number", INTEGER: "a whole number", STRING: "text"}
FINITE = "a finite float32 number"
_INT64 = np.iinfo(np.int64)


@dataclass(frozen=True)
class Column:
    """An input column as a model takes it.

    Args:
        values: float32, int64 or str objects, (rows,).
        missing: which values were filled in, bool (rows,).
        unseen: which categories training never saw, bool (rows,).
    """

    values: np.ndarray
    missing: np.ndarray
    unseen: np.ndarray


def numbers(table: Table, name: str) -> np.ndarray | None:
    """Return int64, or float64 with NaN for missing values, (rows,).

    Return None if a value is no number (or is a bool).
    """
    import pandas as pd

    column = table.frame[name]
    if pd.api.types.is_bool_dtype(column) or isinstance(column.dtype, pd.CategoricalDtype):
        return None
    if not pd.api.types.is_numeric_dtype(column):
        present = column.dropna()
        if pd.api.types.is_datetime64_any_dtype(column):
            return None
        if not table.is_text and present.map(lambda v: isinstance(v, bool)).any():
            return None
        parsed = pd.to_numeric(_with_points(table, name), errors="coerce")
        if (parsed.isna() & column.notna()).any():
            return None
        column = parsed
    if pd.api.types.is_integer_dtype(column) and not column.isna().any() and column.max() <= _INT64.max:
        return column.to_numpy(np.int64)
    return column.to_numpy(np.float64, na_value=np.nan)


def _with_points(table: Table, name: str) -> Any:
    """Return a column of text with "." before decimals; leave text that is no number unchanged."""
    column = table.frame[name]
    if table.format.decimal == "." or not table.is_text:
        return column
    return column.astype(object).map(lambda t: "." if "." in t else t.replace(",", "."), na_action="ignore")


def distinct_texts(table: Table, name: str) -> tuple[np.ndarray, list[str]]:
    """Return the index of each row's distinct value, int (rows,), -1 where missing, and these values as text."""
    import pandas as pd

    codes, values = pd.factorize(table.frame[name].astype(object))
    for value in values:
        if not isinstance(value, (str, bool, np.bool_, abstract.Number)):
            raise ValueError(
                f"{table.path}: column '{name}' holds {type(value).__name__} values: convert them to text or "
                "numbers, or add the column to 'ignore'."
            )
    return codes, [str(value) for value in values]


def are_codes(table: Table, name: str) -> bool:
    """Return whether numbers in a column are names: with leading zeros (00501), or beyond 64 bits."""
    texts = (text.strip() for text in distinct_texts(table, name)[1])
    return any(
        CODE.fullmatch(text) or (_WHOLE.fullmatch(text) and not _INT64.min <= int(text) <= _INT64.max) for text in texts
    )


def kind_of(table: Table, name: str, listed: str | None) -> str:
    """Return the kind of an input column: as `listed`, otherwise numeric if all cells are numbers."""
    if table.frame[name].isna().all():
        words = ", ".join(map(repr, table.blanked.get(name, ())))
        kept = f", or keep {words} by 'missing: []'" if words else ""
        raise ValueError(f"{table.path}: column '{name}' has no values at all: add it to 'ignore'{kept}.")
    if listed == "numeric":
        return NUMERIC
    parsed = numbers(table, name)
    if listed is None and parsed is not None:
        return NUMERIC
    whole = parsed is not None and np.all(np.isnan(parsed) | (parsed == np.floor(parsed)))
    return INTEGER if whole and not are_codes(table, name) and _fits(parsed) else STRING


def _fits(parsed: np.ndarray | None) -> bool:
    """Return whether whole numbers are within 64 bits."""
    if parsed is None or parsed.dtype.kind == "i":
        return parsed is not None
    return bool(np.all(np.isnan(parsed) | (np.abs(parsed) < 2.0**63)))


def whole_number(text: str, decimal: str = ".") -> int | None:
    """Return the whole number of 64 bits that a text writes exactly, or None; 3.0 and 3e0 are 3."""
    text = text.strip()
    if not (match := _WHOLE.fullmatch(text)):
        text = text.replace(",", ".") if decimal == "," else text
        if match := _WHOLE_WITH_POINT.fullmatch(text):
            text = match[1]
        else:
            try:
                value = float(text) if "_" not in text else math.nan
            except ValueError:
                return None
            if not value.is_integer():
                return None
            text = str(int(value))
    number = int(text)
    return number if _INT64.min <= number <= _INT64.max else None


def column(table: Table, name: str, kind: str, filler: Any | None, known: Collection[Any] | None = None) -> Column:
    """Return an input column as the model takes it, gaps filled.

    Args:
        filler: what replaces missing values; None: they are an error.
        known: of a categorical column the categories that training saw; others are marked as unseen. None: not known.
    """
    if kind == NUMERIC:
        values, missing = _numeric(table, name)
        unseen = np.zeros(len(values), bool)
    else:
        values, missing, unseen = _categories(table, name, kind, known)
    if missing.any():
        if filler is None:
            word = "median" if kind == NUMERIC else "most_frequent"
            raise ValueError(
                f"{table.path}: column '{name}' has {missing.sum()} missing "
                f"value{'s' if missing.sum() > 1 else ''}{_words(table, name)}, "
                f"the first on {table.where(int(np.argmax(missing)))}: set 'fill' (such as "
                f"{{{name}: {word}}}), or remove those rows."
            )
        values = values.copy()
        values[missing] = filler
    if kind == NUMERIC:
        values = _finite(table, name, values)
    return Column(values, missing, unseen)


def faults(
    table: Table, name: str, kind: str, filler: Any | None, known: Collection[Any] | None = None
) -> dict[int, str]:
    """Return why rows of an input column cannot be read; arguments as of `column`.

    Returns:
        Row -> one line; empty where `column` reads all of them, or none.
    """
    import pandas as pd

    cells = table.frame[name]
    missing = cells.isna().to_numpy()
    wrong = np.zeros(len(cells), bool)
    is_number = wrong
    if kind == NUMERIC:
        parsed = pd.to_numeric(_with_points(table, name).astype(object), errors="coerce").to_numpy(np.float64)
        with np.errstate(over="ignore"):
            is_finite = np.isfinite(parsed.astype(np.float32))
        wrong = ~is_finite & ~missing
        is_number = ~np.isnan(parsed)
    elif kind == INTEGER and known is None:
        codes, distinct = distinct_texts(table, name)
        wrong = np.array([*(whole_number(text, table.format.decimal) is None for text in distinct), False])[codes]
    found = {
        row: str(_bad_value(table, name, row, FINITE if is_number[row] else kind))
        for row in np.flatnonzero(wrong).tolist()
    }
    words = "".join(f" or {word!r}" for word in table.blanked.get(name, ()))
    for row in np.flatnonzero(missing).tolist() if filler is None else ():
        found[row] = (
            f"{table.path}: {table.where(row)}: column '{name}' has no value (it is empty{words}). "
            "Give one: the run was trained without 'fill' for it."
        )
    return found


def _words(table: Table, name: str) -> str:
    """Return the words of a column that count as missing, in brackets."""
    words = table.blanked.get(name, ())
    return f" ({', '.join(map(repr, words))})" if words else ""


def _numeric(table: Table, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Numbers, float64, and where they are missing, both (rows,)."""
    parsed = numbers(table, name)
    if parsed is None:
        raise _no_number(table, name, NUMERIC)
    return parsed.astype(np.float64), np.isnan(parsed)


def _categories(
    table: Table, name: str, kind: str, known: Collection[Any] | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Categories (str objects or int64), where they are missing, and where unseen, all (rows,)."""
    codes, distinct = distinct_texts(table, name)
    seen = None if known is None else set(known)
    decimal = table.format.decimal
    if kind == STRING:
        by_number = {} if seen is None else _by_number(seen, decimal)
        values: list[Any] = [_string(text, seen, by_number, decimal) for text in distinct]
    else:
        whole = [whole_number(text, decimal) for text in distinct]
        if seen is None and None in whole:
            raise _bad_value(table, name, int(np.argmax(codes == whole.index(None))), kind)
        stranger = next(number for number in range(_INT64.min, 0) if seen is None or number not in seen)
        values = [stranger if number is None else number for number in whole]
    unseen = np.array([seen is not None and value not in seen for value in values] + [False])
    table_of = np.array([*values, None if kind == STRING else 0], object if kind == STRING else np.int64)
    return table_of[codes], codes < 0, unseen[codes]


def _by_number(seen: Iterable[str], decimal: str) -> dict[int, str]:
    """Whole number -> the one category that writes it."""
    found: dict[int, list[str]] = {}
    for text in seen:
        if (number := whole_number(text, decimal)) is not None:
            found.setdefault(number, []).append(text)
    return {number: written[0] for number, written in found.items() if len(written) == 1}


def _string(text: str, seen: set[str] | None, by_number: dict[int, str], decimal: str) -> str:
    """Return a category in training's spelling: "1.0" and "1" are equal if training saw one of them."""
    if seen is None or text in seen or CODE.fullmatch(text.strip()):
        return text
    number = whole_number(text, decimal)
    written = text if number is None else by_number.get(number, text)
    return text if CODE.fullmatch(written.strip()) else written


def _finite(table: Table, name: str, values: np.ndarray) -> np.ndarray:
    """Return numbers as float32; raise if one is infinite or too large for it."""
    with np.errstate(over="ignore"):
        values = values.astype(np.float32)
    if not np.isfinite(values).all():
        raise _bad_value(table, name, int(np.argmin(np.isfinite(values))), FINITE)
    return values


def statistic(table: Table, name: str, kind: str, word: str) -> Any:
    """Return the value that `word` ("mean", "median", "most_frequent") fills in, from the values in `table`."""
    found, missing, *_ = _numeric(table, name) if kind == NUMERIC else _categories(table, name, kind, None)
    found = found[~missing]
    if word == "most_frequent":
        distinct, counts = np.unique(found, return_counts=True)
        return distinct[np.argmax(counts)].item() if kind != STRING else str(distinct[np.argmax(counts)])
    if kind != NUMERIC:
        raise ValueError(
            f"{table.path}: 'fill' is {word!r} for the categorical column '{name}': use 'most_frequent' or a value."
        )
    return float(np.mean(found) if word == "mean" else np.median(found))


def check_filler(name: str, kind: str, value: Any) -> Any:
    """Return a value of 'fill' if it suits the kind of its column."""
    suits = {
        NUMERIC: isinstance(value, abstract.Real) and not isinstance(value, bool) and math.isfinite(value),
        INTEGER: isinstance(value, abstract.Integral) and not isinstance(value, bool),
        STRING: isinstance(value, str),
    }
    if not suits[kind]:
        raise ValueError(f"The 'fill' of column '{name}' must be {_MUST_BE[kind]}. Got {value!r} instead.")
    return value


def check_target(table: Table, name: str) -> None:
    """Raise where a target is missing: an example without one can neither be learnt from nor judged."""
    missing = table.frame[name].isna().to_numpy()
    if missing.any():
        words = table.blanked.get(name, [])
        counted = MISSING if table.format.missing is None else map(str, table.format.missing)
        kept = sorted(set(counted) - set(words))
        kept = [word for word in ("NA", "NaN", "null", *kept) if word in kept][:1]
        remedy = f", or set 'missing: [{', '.join(kept)}]' to keep {_listed(words)}" if words else ""
        raise ValueError(
            f"{table.path}: the target '{name}' has {missing.sum()} missing "
            f"value{'s' if missing.sum() > 1 else ''}{_words(table, name)}, "
            f"the first on {table.where(int(np.argmax(missing)))}: remove those rows{remedy}."
        )


def _listed(words: list[str]) -> str:
    return " and ".join(map(repr, words)) + (" as classes" if len(words) > 1 else " as a class")


def class_labels(table: Table, name: str, classes: Iterable[str]) -> np.ndarray:
    """Return the index of each target among class texts, int32 (rows,), -1 if absent; 1.0 is the class 1."""
    index = {text: label for label, text in enumerate(classes)}
    codes, distinct = distinct_texts(table, name)
    labels = [_label(text, index, table.format.decimal) for text in distinct]
    return np.array([*labels, -1], np.int32)[codes]


def _label(text: str, index: dict[str, int], decimal: str) -> int:
    if text in index:
        return index[text]
    written = text.strip().replace(",", ".") if decimal == "," else text.strip()
    whole = whole_number(written)
    try:
        return index.get(class_text(float(written) if whole is None else whole), -1)
    except (ValueError, OverflowError):
        return -1


def class_text(value: Any) -> str:
    """Return the text of one class: 3.0 and 3 are the same."""
    whole = isinstance(value, float) and value.is_integer()
    return str(int(value) if whole else value)


def regression_target(table: Table, name: str) -> np.ndarray:
    """Target numbers, float32 (rows,)."""
    return _finite(table, name, _numeric(table, name)[0])


def _no_number(table: Table, name: str, kind: str) -> ValueError:
    import pandas as pd

    column = table.frame[name]
    odd = (pd.to_numeric(_with_points(table, name).astype(object), errors="coerce").isna() & column.notna()).to_numpy()
    return _bad_value(table, name, int(np.argmax(odd)), kind)


def _bad_value(table: Table, name: str, row: int, kind: str) -> ValueError:
    must_be = _MUST_BE.get(kind, kind)
    value = table.frame[name].iloc[row]
    return ValueError(f"{table.path}: {table.where(row)}: column '{name}' must be {must_be}. Got {value!r} instead.")
