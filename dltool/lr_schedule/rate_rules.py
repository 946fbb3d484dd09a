"""Rules that read a learning rate off the curve of a range test, and when none can be read."""

from __future__ import annotations

import bisect
import math
from collections.abc import Callable
from dataclasses import dataclass

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


LEAST_FALL = 0.01  # of the loss at the start: less is flat
CHANCE = 5.0  # standard deviations of the fall that noise alone gives at one step: a smaller fall is chance
LEAP = 4.0  # times the untrained model's loss, of the losses that follow: divergence at once
NOISE_SAMPLE = 20  # steps at least, from which the noise of one batch's loss is estimated
SLIDE_SHARE = 0.15  # of the steps between the two slopes that slide compares: 15 of 100 in its source
SLIDE_THRESHOLD = 0.005  # of the curve's fall, a step: the source's 0.005 for losses that fall by about 1


@dataclass(frozen=True)
class Curve:
    """A loss over learning rates, as a range test gives it.

    Args:
        learning_rates: rising, float (steps,).
        losses: of single steps, float (steps,).
        smoothed: the same smoothed, float (steps,).
        steps: steps that the sweep was to take; more than (steps,) where it ended early.
    """

    learning_rates: np.ndarray
    losses: np.ndarray
    smoothed: np.ndarray
    steps: int

    @property
    def first(self) -> int:
        """The first step that the rules look at."""
        return first_step(self.steps)

    @property
    def lowest(self) -> int:
        """The step of the lowest smoothed loss."""
        return self.first + int(np.argmin(self.smoothed[self.first :]))

    @property
    def start(self) -> float:
        """The loss at the start: the mean of the steps before `first`, whose rates hardly change the model."""
        return float(np.mean(self.losses[: self.first]))

    @property
    def fall(self) -> float:
        """From the loss at the start to the lowest smoothed loss."""
        return self.start - float(self.smoothed[self.lowest])

    @property
    def noise(self) -> float:
        """Standard deviation of one batch's loss, from the differences of neighbours up to the lowest.

        sigma = 1.4826 median|d - median d| / sqrt(2), which neither the fall nor a few spikes move much.
        """
        differences = np.diff(self.losses[: max(self.lowest + 1, NOISE_SAMPLE)])
        spread = np.median(np.abs(differences - np.median(differences)))
        return float(1.4826 * spread / np.sqrt(2))


def refusal(curve: Curve) -> str | None:
    """Return why no rate can be suggested, in words; None if one can.

    Whatever smoothing the user chose, the decision uses losses smoothed with b = 0.9: with f the fall from the mean of
    the n steps before `first` to the lowest smoothed loss, and sigma the noise of one batch's loss, a curve is flat if
    f is below `LEAST_FALL` of the loss at the start, and noisy if

        f < CHANCE sigma sqrt(1 / n + (1 - b) / (1 + b)),

    the root being the standard deviation of that difference if losses are independent and no rate changes them.

    A fall that only recovers from divergence at once does not count: the first loss, the untrained model's, then lies
        below
    every loss up to `first` and the lowest smoothed one, and their median exceeds it `LEAP` times.

    Limits: calibrated for Gaussian noise, of which at most 1 curve in 500 passes, of 20 to 1000 steps. For losses with
    heavy tails, such as the squared errors of single examples (chi-squared, one degree of freedom), 4 to 7 % pass;
    if their first loss happens to be the least, it is taken for divergence.
    """
    if len(curve.losses) <= curve.first + 2:
        return f"the sweep ended after {len(curve.losses)} steps, too early to see a fall"
    judged = Curve(curve.learning_rates, curve.losses, smooth(curve.losses, SMOOTHING), curve.steps)
    start, fall = judged.start, judged.fall
    chance = CHANCE * judged.noise * math.sqrt(1 / judged.first + (1 - SMOOTHING) / (1 + SMOOTHING))
    untrained, early = judged.losses[0], judged.losses[1 : judged.first + 1]
    leapt = np.median(early) - untrained > (LEAP - 1) * abs(untrained)
    if leapt and untrained < min(early.min(), start - fall):
        return f"the loss leaps at once, from {untrained:.4g} to {np.median(early):.4g}: the first rates are too high"
    if fall < LEAST_FALL * abs(start) or fall <= 0:
        return f"the loss is flat: it falls by {fall:.3g} from {start:.4g}, less than {LEAST_FALL:.0%}"
    if fall < chance:
        return f"the loss is noisy: it falls by {fall:.3g} from {start:.4g}, less than the {chance:.3g} of chance"
    return None


def steepest(curve: Curve) -> float | None:
    """Return the rate at which the smoothed loss falls fastest.

    It is argmin of ds / d(log rate), up to the lowest loss.

    Reference: fastai (Howard & Gugger, 2020), `steep`.
    """
    stop = curve.lowest + 1
    if stop - curve.first < 2:
        return None
    slope = np.gradient(curve.smoothed[curve.first : stop], np.log(curve.learning_rates[curve.first : stop]))
    index = int(np.argmin(slope))
    return float(curve.learning_rates[curve.first + index]) if slope[index] < 0 else None


def minimum_over_ten(curve: Curve) -> float | None:
    """Return a tenth of the rate with the lowest smoothed loss.

    Reference: fastai (Howard & Gugger, 2020), `minimum`: the loss is lowest just before it diverges.
    """
    return float(curve.learning_rates[curve.lowest]) / 10


def valley(curve: Curve) -> float | None:
    """Return the middle of the longest descent.

    The descent is the longest strictly falling subsequence of the smoothed loss, of length L; with e its last step,
    the suggestion is the rate at step e - L + 1 + floor((L - 1) / 2).

    Limits: the source speaks of two thirds of the valley, but its code takes a third and half of a third, which is
    the middle; the code is followed, being what its users know.
    Reference: fastai (Howard & Gugger, 2020), `valley`, after ESRI's arcgis.learn.
    """
    end, length = _longest_descent(curve.smoothed[curve.first :])
    if length < 2:
        return None
    return float(curve.learning_rates[curve.first + end - length + 1 + (length - 1) // 2])


def slide(curve: Curve) -> float | None:
    """Return the left end of the first interval without an upward bend, sliding down from the highest rate.

    With g the slope of the smoothed loss per step, the interval [r - w, r] moves left from the last step while
    g_r - g_(r - w) > threshold, the loss bending upwards over it; the suggestion is the rate at the left end of the
    last of these intervals. On a smooth curve that is about w / 2 below the steepest descent.

    w is `SLIDE_SHARE` of the steps, the threshold `SLIDE_THRESHOLD` of the curve's fall, so that neither the number
    of steps nor the loss's scale matters: for 100 steps and a fall of 1 they are the source's 15 and 0.005. The
    source takes the difference's size without its sign; the interval then often jumps over the bend between two
    steps and slides down to rates that do nothing.

    Returns:
        The rate; None if the slopes at the end do not differ, because the loss does not turn up.
    Limits: if noise straightens the curve near divergence, it stops early, at a rate that is too high.
    Reference: Andrew Chang (Novetta), "Automated learning rate suggester", fast.ai forums, 2019; fastai's `slide`.
    """
    smoothed = curve.smoothed[curve.first :]
    width = max(1, round(SLIDE_SHARE * curve.steps))
    if len(smoothed) <= width:
        return None
    slope = np.gradient(smoothed)
    threshold = SLIDE_THRESHOLD * abs(curve.fall)
    found, right = None, len(smoothed) - 1
    while right - width >= 0 and slope[right] - slope[right - width] > threshold:
        found = float(curve.learning_rates[curve.first + right - width])
        right -= 1
    return found


RULES: dict[str, Callable[[Curve], float | None]] = {
    "minimum/10": minimum_over_ten,
    "steepest": steepest,
    "valley": valley,
    "slide": slide,
}


def _longest_descent(values: np.ndarray) -> tuple[int, int]:
    """Return the end and length of the longest strictly falling subsequence, the earliest of equal ones."""
    tails: list[float] = []  # negated last value of the best subsequence of each length, rising
    end = 0
    for index, value in enumerate(values):
        place = bisect.bisect_left(tails, -float(value))
        if place == len(tails):
            tails.append(-float(value))
            end = index
        else:
            tails[place] = -float(value)
    return end, len(tails)
