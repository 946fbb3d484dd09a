"""The one-cycle policy."""

from __future__ import annotations

import numpy as np

from dltool.library.schedules import _checks as checks
from dltool.library.schedules._base import Schedule

INITIAL_SHARE = 1 / 25  # of the maximum, where initial_learning_rate is not given, as in PyTorch and fastai
FINAL_SHARE = 1e-4  # of the initial rate, where final_learning_rate is not given, as in PyTorch


class OneCycle(Schedule):
    """One rise to a high rate and one fall below where it began.

    The last step of the rise is r = rise_fraction * total_steps - 1, the last of all is total_steps - 1. From step 0 to
    r the rate goes from initial to maximum, from there to the last step down to final; under `three_phase` it comes
    back to initial at step 2r first. Between two points a and b, with p the share of the way, it is
    a + (b - a) * (1 - cos(pi * p)) / 2 under anneal "cos", a + (b - a) * p under "linear". It stays at final then.

    For a momentum, which goes the other way, give the value at the peak of the rate as `max_learning_rate` and a
    higher one as `initial_learning_rate` and `final_learning_rate`: 0.85 and 0.95 in the paper.

    Args:
        max_learning_rate: value at the peak, >= 0.
        total_steps: steps of the whole cycle, > 1.
        initial_learning_rate: value at step 0, >= 0. Defaults to max_learning_rate / 25.
        final_learning_rate: value at the last step, >= 0. Defaults to initial_learning_rate / 10,000.
        rise_fraction: share of the steps in which the rate rises, in (0, 1), under `three_phase` at most 0.5.
            Defaults to 0.3.
        anneal: "cos" or "linear". Defaults to "cos".
        three_phase: come back to initial as slowly as it rose, then fall to final. Defaults to False.
    Raises:
        ValueError: if an argument is out of its range.
    Limits: only the whole cycle pays: a run that is stopped early ends with a high rate. The maximum must be found
        first (`dltool lr-find`).
    Reference: Smith & Topin, 2019, arXiv:1708.07120, section 3 (three phases, linear); cosine as in fastai and PyTorch.
    """

    def __init__(
        self,
        max_learning_rate: float,
        total_steps: int,
        initial_learning_rate: float | None = None,
        final_learning_rate: float | None = None,
        rise_fraction: float = 0.3,
        anneal: str = "cos",
        three_phase: bool = False,
    ):
        peak = self.max_learning_rate = checks.rate("OneCycle", "max_learning_rate", max_learning_rate)
        self.total_steps = self.length = checks.steps("OneCycle", "total_steps", total_steps, 2)
        initial = peak * INITIAL_SHARE if initial_learning_rate is None else initial_learning_rate
        self.initial_learning_rate = checks.rate("OneCycle", "initial_learning_rate", initial)
        final = self.initial_learning_rate * FINAL_SHARE if final_learning_rate is None else final_learning_rate
        self.final_learning_rate = checks.rate("OneCycle", "final_learning_rate", final)
        self.rise_fraction = checks.positive("OneCycle", "rise_fraction", rise_fraction)
        self.anneal = checks.choice("OneCycle", "anneal", anneal, ("cos", "linear"))
        self.three_phase = checks.boolean("OneCycle", "three_phase", three_phase)
        if self.rise_fraction >= 1 or (self.three_phase and self.rise_fraction > 0.5):
            bound = "in (0, 0.5] with three_phase" if self.three_phase else "in (0, 1)"
            raise checks.wrong("OneCycle", "rise_fraction", f"a fraction {bound}", rise_fraction)
        if self.initial_learning_rate < peak:
            self.warmup_steps = max(round(self._points()[0][1]), 0)

    def values(self, step: np.ndarray) -> np.ndarray:
        at, to = self._points()
        phase = np.clip(np.searchsorted(at, step, side="left"), 1, len(at) - 1)
        steps, targets = np.array(at), np.array(to)
        length = steps[phase] - steps[phase - 1]  # 0 where a phase is a single step
        p = np.where(length > 0, np.clip((step - steps[phase - 1]) / np.maximum(length, 1e-9), 0.0, 1.0), 1.0)
        if self.anneal == "cos":
            p = 0.5 * (1 - np.cos(np.pi * p))
        return targets[phase - 1] + (targets[phase] - targets[phase - 1]) * p

    def cycle(self, step: int) -> tuple[int, int] | None:
        return (0, self.total_steps) if step < self.total_steps else None

    def _points(self) -> tuple[list[float], list[float]]:
        """Return the steps at which phases begin and end, and the values there."""
        rise = max(self.rise_fraction * self.total_steps - 1, 0.0)
        at, to = [0.0, rise], [self.initial_learning_rate, self.max_learning_rate]
        if self.three_phase:
            at, to = [*at, 2 * rise], [*to, self.initial_learning_rate]
        return [*at, self.total_steps - 1.0], [*to, self.final_learning_rate]
