"""The smoothed loss of a range test."""

from __future__ import annotations

import numpy as np

SMOOTHING = 0.9  # lags by smoothing / (1 - smoothing) = 9 steps
SKIPPED_SHARE = 0.1  # of the steps, at the start, where the smoothed loss is that of a few batches (as fastai)


def smooth(losses: np.ndarray, smoothing: float = SMOOTHING) -> np.ndarray:
    """Bias-corrected exponential mean: m_t = b m_{t-1} + (1 - b) l_t with m_0 = 0; s_t = m_t / (1 - b^t).

    Args:
        losses: l, float (steps,).
        smoothing: b in [0, 1).
    Reference: Kingma & Ba, 2015, section 3, of the correction.
    """
    mean, found = 0.0, []
    for step, loss in enumerate(losses, start=1):
        mean = smoothing * mean + (1 - smoothing) * float(loss)
        found.append(mean / (1 - smoothing**step))
    return np.array(found)


def first_step(steps: int) -> int:
    """Return the first step, from 0, whose smoothed loss counts in a sweep of `steps` steps."""
    return max(1, round(SKIPPED_SHARE * steps))
