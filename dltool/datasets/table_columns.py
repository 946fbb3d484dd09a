"""Columns of a table as numbers, text or classes, with missing values found or filled."""

from __future__ import annotations

import math
import numbers as abstract
from typing import TYPE_CHECKING, Any

import numpy as np

from dltool.datasets.table_file import Table

if TYPE_CHECKING:
    import pandas as pd

STATISTICS = ("mean", "median", "most_frequent")
# Kinds of input columns, in the words of keras.utils.FeatureSpace.
NUMERIC, STRING, INTEGER = "float_normalized", "string_categorical", "integer_categorical"
_MUST_BE = {NUMERIC: "a number", INTEGER: "a whole number", STRING: "text"}


def numbers(column: pd.Series) -> np.ndarray | None:
    """int64, or float64 with NaN where missing, (rows,); None where a value is no number (or is a bool)."""
    import pandas as pd

    if pd.api.types.is_bool_dtype(column) or isinstance(column.dtype, pd.CategoricalDtype):
        return None
    if not pd.api.types.is_numeric_dtype(column):
        present = column.dropna()
        if pd.api.types.is_datetime64_any_dtype(column) or present.map(lambda v: isinstance(v, bool)).any():
            return None
        parsed = pd.to_numeric(column, errors="coerce")
        if (parsed.isna() & column.notna()).any():
            return None
        column = parsed
    if pd.api.types.is_integer_dtype(column) and not column.isna().any() and column.max() <= np.iinfo(np.int64).max:
        return column.to_numpy(np.int64)
    return column.to_numpy(np.float64, na_value=np.nan)


def texts(table: Table, name: str) -> np.ndarray:
    """Object array of str, (rows,), None where missing."""
    column = table.frame[name]
    values = column.astype(object).to_numpy(copy=True)
    missing = column.isna().to_numpy()
    admitted = (str, bool, np.bool_, abstract.Number)
    for row in range(len(values)):
        if missing[row]:
            values[row] = None
        elif not isinstance(values[row], admitted):
            raise ValueError(
                f"{table.path}: column '{name}' holds {type(values[row]).__name__} values: convert them to "
                "text or "
                "numbers, or add the column to 'ignore'."
            )
        else:
            values[row] = str(values[row])
    return values


def kind_of(table: Table, name: str, listed: str | None) -> str:
    """The kind of an input column: as `listed`, else numeric if it holds only numbers."""
    column = table.frame[name]
    if column.isna().all():
        raise ValueError(f"{table.path}: column '{name}' has no values at all: add it to 'ignore'.")
    parsed = numbers(column)
    if listed == "numeric" or (listed is None and parsed is not None):
        return NUMERIC
    whole = parsed is not None and np.all(np.isnan(parsed) | (parsed == np.floor(parsed)))
    return INTEGER if whole else STRING


def values(table: Table, name: str, kind: str) -> tuple[np.ndarray, np.ndarray]:
    """Values of an input column (float64, int64 or str objects), and where they are missing, both (rows,)."""
    if kind == STRING:
        found = texts(table, name)
        return found, np.array([value is None for value in found])
    parsed = numbers(table.frame[name])
    if parsed is None:
        raise _no_number(table, name, kind)
    missing = np.isnan(parsed)
    if kind == INTEGER:
        odd = ~missing & (parsed != np.floor(parsed)) | np.isinf(parsed)
        if odd.any():
            row = int(np.argmax(odd))
            raise _bad_value(table, name, row, kind)
        if parsed.dtype.kind == "f":
            parsed = np.where(missing, 0, parsed).astype(np.int64)
        return parsed, missing
    return parsed.astype(np.float64), missing


def filled(table: Table, name: str, kind: str, filler: Any | None) -> np.ndarray:
    """An input column as the model takes it: float32, int64 or str objects, (rows,)."""
    found, missing = values(table, name, kind)
    if missing.any():
        if filler is None:
            word = "median" if kind == NUMERIC else "most_frequent"
            raise ValueError(
                f"{table.path}: column '{name}' has {missing.sum()} missing "
                f"value{'s' if missing.sum() > 1 else ''}, "
                f"the first on {table.where(int(np.argmax(missing)))}: set 'fill' (such as "
                f"{{{name}: {word}}}), or "
                "remove those rows."
            )
        found = found.copy()
        found[missing] = filler
    if kind != NUMERIC:
        return found
    with np.errstate(over="ignore"):
        found = found.astype(np.float32)
    if not np.isfinite(found).all():
        raise _bad_value(table, name, int(np.argmin(np.isfinite(found))), "a finite float32 number")
    return found


def statistic(table: Table, name: str, kind: str, word: str) -> Any:
    """The value that `word` ("mean", "median", "most_frequent") fills in, from the values in `table`."""
    found, missing = values(table, name, kind)
    found = found[~missing]
    if word == "most_frequent":
        distinct, counts = np.unique(found, return_counts=True)
        return distinct[np.argmax(counts)]
    if kind != NUMERIC:
        raise ValueError(
            f"{table.path}: 'fill' is {word!r} for the categorical column '{name}': use 'most_frequent' or a value."
        )
    return float(np.mean(found) if word == "mean" else np.median(found))


def check_filler(name: str, kind: str, value: Any) -> Any:
    """A value of 'fill' if it suits the kind of its column."""
    suits = {
        NUMERIC: isinstance(value, abstract.Real) and not isinstance(value, bool) and math.isfinite(value),
        INTEGER: isinstance(value, abstract.Integral) and not isinstance(value, bool),
        STRING: isinstance(value, str),
    }
    if not suits[kind]:
        raise ValueError(f"The 'fill' of column '{name}' must be {_MUST_BE[kind]}. Got {value!r} instead.")
    return value


def check_target(table: Table, name: str) -> None:
    """Raises where a target is missing: an example without one can neither be learnt from nor judged."""
    missing = table.frame[name].isna().to_numpy()
    if missing.any():
        raise ValueError(
            f"{table.path}: the target '{name}' has {missing.sum()} missing "
            f"value{'s' if missing.sum() > 1 else ''}, "
            f"the first on {table.where(int(np.argmax(missing)))}: remove those rows."
        )


def class_texts(table: Table, name: str, numeric: bool) -> np.ndarray:
    """Target classes as text, object (rows,); `numeric` ones without a needless decimal point."""
    parsed = numbers(table.frame[name]) if numeric else None
    if parsed is None:
        return texts(table, name)
    return np.array([class_text(value) for value in parsed.tolist()], dtype=object)


def class_text(value: Any) -> str:
    """The text of one class: 3.0 and 3 are the same."""
    whole = isinstance(value, float) and value.is_integer()
    return str(int(value) if whole else value)


def regression_target(table: Table, name: str) -> np.ndarray:
    """Target numbers, float32 (rows,)."""
    parsed = numbers(table.frame[name])
    if parsed is None:
        raise _no_number(table, name, NUMERIC)
    with np.errstate(over="ignore"):
        found = parsed.astype(np.float32)
    if not np.isfinite(found).all():
        raise _bad_value(table, name, int(np.argmin(np.isfinite(found))), "a finite float32 number")
    return found


def _no_number(table: Table, name: str, kind: str) -> ValueError:
    import pandas as pd

    column = table.frame[name]
    odd = (pd.to_numeric(column.astype(object), errors="coerce").isna() & column.notna()).to_numpy()
    return _bad_value(table, name, int(np.argmax(odd)), kind)


def _bad_value(table: Table, name: str, row: int, kind: str) -> ValueError:
    must_be = _MUST_BE.get(kind, kind)
    value = table.frame[name].iloc[row]
    return ValueError(f"{table.path}: {table.where(row)}: column '{name}' must be {must_be}. Got {value!r} instead.")
