"""A constant value, which also stands for a plain number in place of a schedule."""

from __future__ import annotations

import numbers
from typing import Any

import numpy as np

from dltool.library.schedules import _checks as checks
from dltool.library.schedules._base import Schedule


class Constant(Schedule):
    """The same value at every step: rate(step) = value.

    Args:
        value: the value, >= 0.
    Raises:
        ValueError: if it is negative or not finite.
    Limits: leaves to other means (a larger batch, averaging) what a decaying rate does against gradient noise.
    Reference: lecture slide 76.
    """

    def __init__(self, value: float):
        self.value = checks.rate("Constant", "value", value)

    def values(self, step: np.ndarray) -> np.ndarray:
        return np.full(step.shape, self.value)


def schedule_of(owner: str, name: str, value: Any) -> Schedule:
    """Return `value` as a schedule; a number >= 0 becomes a constant one."""
    if isinstance(value, Schedule):
        return value
    if isinstance(value, numbers.Real) and not isinstance(value, bool):
        return Constant(checks.rate(owner, name, value))
    raise checks.wrong(owner, name, "a schedule or a number >= 0", value)
