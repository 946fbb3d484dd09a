"""Figures of several seeds as one: mean and spread."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

Row = dict[str, Any]
# ratios of first and last layer are products over depth: their logarithms are what scatters evenly
RATIOS = ("first_to_last", "gradient_ratio", "time_ratio", "weight_first_to_last", "signal_last_to_first")


def pooled(tables: Sequence[Sequence[Row]], keys: Sequence[str]) -> list[Row]:
    """Return one row for the rows of several seeds that agree in `keys`.

    A figure becomes its mean, followed by its standard deviation `figure_sd` (n - 1 in the denominator). A ratio over
    depth or time becomes its geometric mean, 0 if a seed's is 0 and NaN if one is NaN, with the factor
    `ratio_spread` = exp(sd of ln ratio). Words are the commonest.

    Args:
        tables: the rows of each seed.
    """
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for table in tables:
        for row in table:
            groups.setdefault(tuple(row[key] for key in keys), []).append(row)
    return [_pooled(rows, keys, len(tables) > 1) for rows in groups.values()]


def _pooled(rows: list[Row], keys: Sequence[str], spread: bool) -> Row:
    if not spread:
        return rows[0]
    result: Row = {}
    for name in rows[0]:
        values = [row[name] for row in rows if row[name] is not None]
        if name in keys or not values or not all(_is_number(value) for value in values):
            result[name] = Counter(values).most_common(1)[0][0] if values else None
            continue
        numbers = np.array(values, np.float64)
        if name in RATIOS:
            with np.errstate(divide="ignore", invalid="ignore"):  # 0 gives 0, NaN gives NaN
                logs = np.log(numbers)
                result[name] = float(np.exp(logs.mean()))
            result[f"{name}_spread"] = (
                float(np.exp(logs.std(ddof=1))) if len(logs) > 1 and np.isfinite(logs).all() else None
            )
        else:
            result[name] = float(numbers.mean())
            result[f"{name}_sd"] = float(numbers.std(ddof=1)) if len(numbers) > 1 else None
    return result


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | np.number) and not isinstance(value, bool)
