"""Figures of several seeds as one."""

from __future__ import annotations

import math

import pytest

from dltool.init_stats.spread import pooled


@pytest.mark.parametrize(
    ("values", "expected"),
    [([0.5, 8.0], 2.0), ([math.nan, 0.5], math.nan), ([0.0, 0.5], 0.0), ([0.5, math.inf], math.inf)],
)
def test_a_ratio_is_zero_only_where_a_seeds_is_and_nan_stays_nan(values: list[float], expected: float) -> None:
    (row,) = pooled([[{"first_to_last": value}] for value in values], ())
    assert row["first_to_last"] == pytest.approx(expected, nan_ok=True)
    finite = all(math.isfinite(value) and value for value in values)
    # ln 0.5 and ln 8 lie ln 16 apart: a deviation of ln 16 / sqrt(2)
    assert row["first_to_last_spread"] == (pytest.approx(math.exp(math.log(16) / math.sqrt(2))) if finite else None)
