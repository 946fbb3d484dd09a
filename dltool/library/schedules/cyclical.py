"""Cyclical rates."""

from __future__ import annotations

import numpy as np

from dltool.library.schedules import _checks as checks
from dltool.library.schedules._base import Schedule


class Cyclical(Schedule):
    """Up and down between two rates along straight lines.

    rate(step) = base + (max - base) * max(0, 1 - |step / step_size - 2 * cycle + 1|) * scale with
    cycle = floor(1 + step / (2 * step_size)); scale is 1 for "triangular", 1 / 2^(cycle - 1) for "triangular2" and
    gamma^step for "exp_range".

    Args:
        base_learning_rate: the lower rate, >= 0.
        max_learning_rate: the upper rate of the first cycle, >= base_learning_rate.
        step_size: steps of half a cycle, > 0; the paper finds 2 to 10 epochs to work.
        mode: "triangular", "triangular2" or "exp_range". Defaults to "triangular".
        gamma: factor of every step under "exp_range", in (0, 1]; 1 otherwise. Defaults to 1.
    Raises:
        ValueError: if an argument is out of its range.
    Limits: compare runs at the ends of cycles: amid one the rate, and with it the loss, is high.
    Reference: Smith, 2017, WACV, arXiv:1506.01186, section 3.2.
    """

    def __init__(
        self,
        base_learning_rate: float,
        max_learning_rate: float,
        step_size: int,
        mode: str = "triangular",
        gamma: float = 1.0,
    ):
        self.base_learning_rate = checks.rate("Cyclical", "base_learning_rate", base_learning_rate)
        self.max_learning_rate = checks.rate("Cyclical", "max_learning_rate", max_learning_rate)
        if self.max_learning_rate < self.base_learning_rate:
            low = f"a number >= base_learning_rate ({self.base_learning_rate})"
            raise checks.wrong("Cyclical", "max_learning_rate", low, max_learning_rate)
        self.step_size = checks.steps("Cyclical", "step_size", step_size)
        self.mode = checks.choice("Cyclical", "mode", mode, ("triangular", "triangular2", "exp_range"))
        self.gamma = checks.positive("Cyclical", "gamma", gamma)
        if self.gamma > 1 or (self.gamma != 1 and self.mode != "exp_range"):
            bound = "a number in (0, 1]" if self.mode == "exp_range" else "1 unless mode is 'exp_range'"
            raise checks.wrong("Cyclical", "gamma", bound, gamma)

    def values(self, step: np.ndarray) -> np.ndarray:
        cycle = np.floor(1 + step / (2 * self.step_size))
        height = np.maximum(0.0, 1 - np.abs(step / self.step_size - 2 * cycle + 1))
        scale = {"triangular2": 0.5 ** (cycle - 1), "exp_range": self.gamma**step}.get(self.mode, 1.0)
        return self.base_learning_rate + (self.max_learning_rate - self.base_learning_rate) * height * scale

    def cycle(self, step: int) -> tuple[int, int] | None:
        period = 2 * self.step_size
        return step // period * period, (step // period + 1) * period
