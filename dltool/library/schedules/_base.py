"""The base of all schedules: functions of the step, in NumPy."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Part:
    """A schedule inside another.

    Args:
        schedule: the schedule, whose step 0 is the step `first` of the one around it.
        first: its first step.
        end: the first step after it, None where it goes on to the end.
    """

    schedule: Schedule
    first: int
    end: int | None


class Schedule(ABC):
    """A quantity that changes with the training step: a learning rate, a momentum, a weight decay.

    Calling it with steps, counted from 0 (an int or an array of ints), gives float64 of the same shape. A
    subclass defines `values` and keeps its arguments under their own names. The attributes below are for
    previews of the curve; they change no value.

    Attributes:
        length: steps after which its programme is over and the value stays; None if it has no end.
        warmup_steps: steps of rising at the start, 0 without.
    """

    length: int | None = None
    warmup_steps: int = 0

    def __call__(self, step: Any) -> np.ndarray:
        with np.errstate(over="ignore", invalid="ignore"):  # whoever uses the values checks them
            return np.asarray(self.values(np.asarray(step, np.float64)), np.float64)

    @abstractmethod
    def values(self, step: np.ndarray) -> np.ndarray:
        """Return the values at steps >= 0, float64 of any shape."""

    def cycle(self, step: int) -> tuple[int, int] | None:
        """Return the first steps of the cycle at `step` and of the next, or None without cycles."""
        return None

    def parts(self) -> list[Part]:
        """Return the schedules that this one consists of, in the order of their steps; empty for a simple one."""
        return []

    def arguments(self) -> dict[str, Any]:
        """Return the constructor's arguments, defaults included."""
        return {name: getattr(self, name) for name in inspect.signature(type(self)).parameters}

    def as_keras(self) -> tuple[str, dict[str, Any]] | None:
        """Return name and arguments of the equal Keras schedule, or None."""
        return None

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in self.arguments().items())})"


class KerasTwin(Schedule):
    """A schedule that Keras has too, under the same name and arguments."""

    def as_keras(self) -> tuple[str, dict[str, Any]] | None:
        return type(self).__name__, self.arguments()
