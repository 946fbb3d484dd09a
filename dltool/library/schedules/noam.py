"""The schedule of the first Transformer."""

from __future__ import annotations

import numpy as np

from dltool.library.schedules import _checks as checks
from dltool.library.schedules._base import Schedule


class Noam(Schedule):
    """A linear rise, then the inverse square root of the step.

    rate(step) = factor * d_model^-0.5 * min((step + 1)^-0.5, (step + 1) * warmup_steps^-1.5); the paper counts steps
    from 1.

    Args:
        d_model: width of the model, int > 0.
        warmup_steps: steps of the rise, > 0. Defaults to 4,000, the paper's.
        factor: of the whole, > 0. Defaults to 1.
    Raises:
        ValueError: if an argument is out of its range.
    Limits: the peak, factor / sqrt(d_model * warmup_steps), follows from the width and the warm-up: check it.
    Reference: Vaswani et al., 2017, arXiv:1706.03762, eq. 3.
    """

    def __init__(self, d_model: int, warmup_steps: int = 4000, factor: float = 1.0):
        self.d_model = checks.integer("Noam", "d_model", d_model, 1)
        self.warmup_steps = checks.steps("Noam", "warmup_steps", warmup_steps)
        self.factor = checks.positive("Noam", "factor", factor)

    def values(self, step: np.ndarray) -> np.ndarray:
        number = step + 1
        return self.factor * self.d_model**-0.5 * np.minimum(number**-0.5, number * self.warmup_steps**-1.5)
