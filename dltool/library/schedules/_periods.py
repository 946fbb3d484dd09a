"""Periods that follow each other, each longer than the last by a factor."""

from __future__ import annotations

import math

import numpy as np

from dltool.library.schedules import _checks as checks

MOST_GROWTH = 1e6  # with more the second period never ends


def factor(owner: str, value: object) -> float:
    """Return `value` as t_mul, the factor between periods' lengths, from 1 to `MOST_GROWTH`."""
    found = checks.real(owner, "t_mul", value, 1.0)
    if found > MOST_GROWTH:
        raise checks.wrong(owner, "t_mul", f"a finite number from 1 to {MOST_GROWTH:,.0f}", value)
    return found


def ends(period: int, t_mul: float, steps: float) -> np.ndarray:
    """Return where periods of period * t_mul^i steps end, float64, up to the first end beyond `steps`.

    The i-th end is period * (t_mul^(i+1) - 1) / (t_mul - 1), or (i + 1) * period where t_mul is 1.
    """
    if t_mul == 1.0:
        return period * np.arange(1.0, math.floor(steps / period) + 2)
    count = math.floor(math.log1p(steps * (t_mul - 1) / period) / math.log(t_mul)) + 2  # one more for rounding
    found = period * (t_mul ** np.arange(1.0, count + 1) - 1) / (t_mul - 1)
    return found[: int(np.searchsorted(found, steps, side="right")) + 1]


def locate(step: np.ndarray, period: int, t_mul: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the period of each step, counted from 0, and its completed share, in [0, 1)."""
    if t_mul == 1.0:
        index = np.floor(step / period)
        return index, step / period - index
    found = ends(period, t_mul, float(step.max(initial=0.0)))
    index = np.searchsorted(found, step, side="right").astype(np.float64)
    starts = np.concatenate([[0.0], found])[index.astype(np.int64)]
    return index, (step - starts) / (period * t_mul**index)


def around(step: int, period: int, t_mul: float) -> tuple[int, int]:
    """Return the first step of the period at `step`, and that of the next."""
    found = ends(period, t_mul, float(step))
    return (round(found[-2]) if len(found) > 1 else 0), round(found[-1])
