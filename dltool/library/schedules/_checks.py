"""Checks of schedules' arguments, with the message template of all constructors."""

from __future__ import annotations

import math
import numbers
from typing import Any

from dltool.data.arguments import boolean, choice, fraction, integer, real, wrong

__all__ = ["boolean", "choice", "fraction", "integer", "listed", "number", "positive", "rate", "steps", "wrong"]


def steps(owner: str, name: str, value: Any, low: int = 1) -> int:
    """Return `value` as a number of steps, an int >= low. Whole floats (1e4) count as ints, as in Keras."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return integer(owner, name, value, low)


def rate(owner: str, name: str, value: Any) -> float:
    """Return `value` as a finite float >= 0."""
    return real(owner, name, value, 0.0)


def number(owner: str, name: str, value: Any) -> float:
    """Return `value` as a finite float."""
    return real(owner, name, value)


def positive(owner: str, name: str, value: Any) -> float:
    """Return `value` as a finite float > 0."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real) or not 0 < float(value) < math.inf:
        raise wrong(owner, name, "a finite number > 0", value)
    return float(value)


def listed(owner: str, name: str, value: Any) -> list[Any]:
    """Return `value` as a list that is not empty."""
    if not isinstance(value, list | tuple) or not value:
        raise wrong(owner, name, "a list that is not empty", value)
    return list(value)
