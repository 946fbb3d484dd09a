"""Cosine decay, optionally after a linear warm-up."""

from __future__ import annotations

import numpy as np

from dltool.library.schedules import _checks as checks
from dltool.library.schedules._base import KerasTwin


class CosineDecay(KerasTwin):
    """Half a cosine from the initial rate down to alpha times it, as `keras.optimizers.schedules.CosineDecay`.

    rate(step) = peak * ((1 - alpha) * (1 + cos(pi * min(t, decay_steps) / decay_steps)) / 2 + alpha), where
    t = step and peak = initial_learning_rate; with a warm-up, t = step - warmup_steps and peak = warmup_target,
    after rate(step) = initial_learning_rate + (warmup_target - initial_learning_rate) * step / warmup_steps.

    Args:
        initial_learning_rate: rate at step 0, >= 0.
        decay_steps: steps of the decay, warm-up not included, > 0.
        alpha: final rate as a fraction of the peak, >= 0. Defaults to 0.
        name: Keras's name for the operation.
        warmup_target: rate after the warm-up, >= 0. Defaults to None: no warm-up.
        warmup_steps: steps of the warm-up, > 0 with `warmup_target`, else 0.
    Raises:
        ValueError: if an argument is out of its range, or `warmup_steps` is given without `warmup_target`.
    Limits: the end must be known beforehand: stopping early leaves a high rate, going on an idle one.
    Reference: Loshchilov & Hutter, 2017, arXiv:1608.03983, eq. 5; warm-up: Goyal et al., 2017,
        arXiv:1706.02677, section 2.2.
    """

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: int,
        alpha: float = 0.0,
        name: str = "CosineDecay",
        warmup_target: float | None = None,
        warmup_steps: int = 0,
    ):
        self.initial_learning_rate = checks.rate("CosineDecay", "initial_learning_rate", initial_learning_rate)
        self.decay_steps = checks.steps("CosineDecay", "decay_steps", decay_steps)
        self.alpha = checks.rate("CosineDecay", "alpha", alpha)
        self.name = name
        self.warmup_target = warmup_target
        self.warmup_steps = checks.steps("CosineDecay", "warmup_steps", warmup_steps, 0)
        if warmup_target is not None:
            self.warmup_target = checks.rate("CosineDecay", "warmup_target", warmup_target)
        elif self.warmup_steps:
            raise ValueError("The 'warmup_steps' parameter of CosineDecay needs 'warmup_target', the rate to reach.")
        self.length = self.warmup_steps + self.decay_steps

    def values(self, step: np.ndarray) -> np.ndarray:
        target = self.warmup_target
        peak = self.initial_learning_rate if target is None else target
        done = np.clip((step - self.warmup_steps) / self.decay_steps, 0.0, 1.0)
        decayed = peak * ((1 - self.alpha) * 0.5 * (1 + np.cos(np.pi * done)) + self.alpha)
        if target is None or not self.warmup_steps:
            return decayed
        rising = self.initial_learning_rate + (target - self.initial_learning_rate) * step / self.warmup_steps
        return np.where(step < self.warmup_steps, rising, decayed)
