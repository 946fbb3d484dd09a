"""The learning rate under `keras.callbacks.ReduceLROnPlateau`, from the metric alone."""

from __future__ import annotations

import math
import numbers
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

ARGUMENTS = ("factor", "patience", "min_delta", "cooldown", "min_lr")  # the callback's that are numbers


@dataclass(frozen=True)
class Epoch:
    """One epoch under the callback.

    Args:
        learning_rate: in force during the epoch, float32.
        next_learning_rate: in force after it.
        reduced: whether the callback lowered it at the epoch's end.
        wait: epochs without improvement so far.
    """

    learning_rate: float
    next_learning_rate: float
    reduced: bool
    wait: int


def simulate(
    metric: Sequence[float | None],
    learning_rate: float,
    *,
    mode: str,
    factor: float = 0.1,
    patience: int = 10,
    min_delta: float = 1e-4,
    cooldown: int = 0,
    min_lr: float = 0.0,
) -> list[Epoch]:
    """Return the epochs of a training whose monitored metric is known.

    An epoch improves if metric < best - |min_delta| (mode "min") or metric > best + |min_delta| ("max"); after
    `patience` epochs without improvement, rate = max(rate * factor, min_lr), and the next `cooldown` epochs are not
    counted.

    Args:
        metric: the monitored figure of each epoch, None if it was not measured.
        learning_rate: the recipe's, a number.
        mode: "min" or "max".
        factor, patience, min_delta, cooldown, min_lr: as Keras's arguments.
    Raises:
        ValueError: `mode` is neither, or the callback cannot use another argument.
    Limits: as in Keras, NaN never improves; rates are float32, as the optimizer keeps them.
    Reference: the source of Keras 3.15; lecture slide 76.
    """
    if mode not in ("min", "max"):
        raise ValueError(f"The 'mode' parameter of simulate must be 'min' or 'max'. Got {mode!r} instead.")
    check(factor=factor, patience=patience, min_delta=min_delta, cooldown=cooldown, min_lr=min_lr)
    rate, best, wait, cooling = np.float32(learning_rate), None, 0, 0
    delta = -abs(min_delta) if mode == "min" else abs(min_delta)
    epochs = []
    for value in metric:
        before, reduced = rate, False
        if value is not None:
            if cooling > 0:
                cooling, wait = cooling - 1, 0
            if best is None or _better(value - delta, best, mode):
                best, wait = value, 0
            elif cooling <= 0:
                wait += 1
                if wait >= patience and float(rate) > np.float32(min_lr):
                    rate, reduced = np.float32(max(float(rate) * factor, min_lr)), True
                    cooling, wait = cooldown, 0
        epochs.append(Epoch(float(before), float(rate), reduced, wait))
    return epochs


def check(**arguments: Any) -> None:
    """Raise ValueError unless the callback can use these of its arguments: finite numbers, `factor` below 1."""
    for name, value in arguments.items():
        number = isinstance(value, numbers.Real) and not isinstance(value, bool) and math.isfinite(value)
        if not number or (name == "factor" and float(value) >= 1.0):
            wanted = "a finite number < 1" if name == "factor" else "a finite number"
            raise ValueError(f"The '{name}' parameter of ReduceLROnPlateau must be {wanted}. Got {value!r} instead.")


def _better(value: float, best: float, mode: str) -> bool:
    """Return whether a value is better, compared in float32 as in Keras."""
    if math.isnan(value) or math.isnan(best):
        return False
    value, best = float(np.float32(value)), float(np.float32(best))
    return value < best if mode == "min" else value > best
