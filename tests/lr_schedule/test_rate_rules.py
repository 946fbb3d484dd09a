"""Rules that read a rate off a range test's curve, and their refusal."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from dltool.lr_schedule import rate_rules
from dltool.lr_schedule.rate_rules import Curve, smooth

RATES = np.geomspace(1e-6, 10, 100)


def curve(losses: np.ndarray, smoothed: np.ndarray | None = None) -> Curve:
    return Curve(RATES[: len(losses)], losses, losses if smoothed is None else smoothed, 100)


def sigmoid_fall(middle: float, width: float = 0.5, rise: float = 1.0) -> np.ndarray:
    """A loss from 2.3 to 0.3 that falls fastest at `middle` in log10 of the rate, and rises sharply near `rise`."""
    u = np.log10(RATES)
    return 2.3 - 2 / (1 + np.exp(-(u - middle) / width)) + np.exp((u - rise) / 0.1) * 1e-3


def test_steepest_is_where_a_sigmoid_falls_fastest() -> None:
    assert np.log10(rate_rules.steepest(curve(sigmoid_fall(-3.0)))) == pytest.approx(-3.0, abs=0.08)  # a step is 0.07


def test_minimum_over_ten_is_a_tenth_of_the_lowest() -> None:
    losses = (np.log10(RATES) + 1.5) ** 2 + 1
    assert rate_rules.minimum_over_ten(curve(losses)) == pytest.approx(10**-2.5, rel=0.1)


def test_valley_is_the_middle_of_a_straight_descent() -> None:
    losses = np.concatenate([np.full(30, 2.0), np.linspace(2, 1, 41)[1:], np.linspace(1, 3, 31)[1:]])
    # the descent has 41 points, steps 29 (any of the plateau counts as its first) to 69: its middle is step 49
    assert rate_rules.valley(curve(losses)) == pytest.approx(RATES[49])


def test_longest_descent_is_that_of_all_subsequences_tried() -> None:
    rng = np.random.default_rng(0)
    for _ in range(60):
        values = rng.integers(0, 6, size=8)
        best = [0, 0]
        for length in range(1, 9):
            ends = [c[-1] for c in itertools.combinations(range(8), length) if (np.diff(values[list(c)]) < 0).all()]
            if ends:
                best = [min(ends), length]
        assert list(rate_rules._longest_descent(values)) == best


def test_slide_is_half_an_interval_below_the_steepest_descent_of_a_smooth_curve() -> None:
    losses = sigmoid_fall(-2.5, rise=0.0)
    # 15 steps of 7 / 99 decades: the half is 0.53 of a decade
    assert np.log10(rate_rules.slide(curve(losses))) == pytest.approx(-2.5 - 0.53, abs=0.2)


def test_slide_finds_nothing_where_the_loss_does_not_turn_up() -> None:
    assert rate_rules.slide(curve(np.linspace(2, 1, 100))) is None


@pytest.mark.parametrize("rule", rate_rules.RULES)
def test_rules_do_not_depend_on_the_losses_scale_and_origin(rule: str) -> None:
    losses = sigmoid_fall(-2.53)  # between two steps, so that there is no tie for the steepest
    moved = rate_rules.RULES[rule](curve(1000 * losses - 300))
    assert moved == pytest.approx(rate_rules.RULES[rule](curve(losses)))


def test_a_curve_that_falls_clearly_is_not_refused() -> None:
    noisy = sigmoid_fall(-3.0) + 0.1 * np.random.default_rng(0).normal(size=100)
    assert rate_rules.refusal(curve(noisy, smooth(noisy))) is None


@pytest.mark.parametrize("losses", [np.full(100, 2.3), np.linspace(2.3, 4.0, 100), np.linspace(2.3, 2.29, 100)])
def test_a_constant_a_rising_and_a_hardly_falling_loss_are_flat(losses: np.ndarray) -> None:
    assert "flat" in (rate_rules.refusal(curve(losses, smooth(losses))) or "")


@pytest.mark.parametrize("smoothing", [0.0, 0.5, 0.9, 0.98])
@pytest.mark.parametrize(("steps", "curves"), [(20, 1000), (50, 1000), (100, 1000), (1000, 200)])
def test_noise_alone_is_refused_nearly_always(steps: int, curves: int, smoothing: float) -> None:
    """Of curves of Gaussian noise about a loss that no rate changes, at most 1 in 200 passes."""
    rng, rates = np.random.default_rng(1), np.geomspace(1e-6, 10, steps)
    passed = 0
    for _ in range(curves):
        losses = 2.3 + 0.3 * rng.normal(size=steps)
        passed += rate_rules.refusal(Curve(rates, losses, smooth(losses, smoothing), steps)) is None
    assert passed <= curves / 200


@pytest.mark.parametrize("smoothing", [0.0, 0.9])
@pytest.mark.parametrize(("steps", "times"), [(20, 10), (100, 4), (1000, 4)])
def test_a_fall_of_several_times_the_noise_is_seen_nearly_always(steps: int, times: float, smoothing: float) -> None:
    rng, u = np.random.default_rng(1), np.linspace(-6, 1, steps)
    seen = 0
    for _ in range(100):
        losses = 5 - 0.3 * times / (1 + np.exp(-2 * (u + 3))) + 0.3 * rng.normal(size=steps)
        seen += rate_rules.refusal(Curve(10**u, losses, smooth(losses, smoothing), steps)) is None
    assert seen >= 95


@pytest.mark.parametrize("steps", [20, 100])
def test_recovering_from_a_leap_at_the_first_rates_is_no_fall(steps: int) -> None:
    losses = np.concatenate([[2.3], np.geomspace(2000, 20, steps - 1)])
    rates = np.geomspace(1, 100, steps)
    assert "leaps at once" in (rate_rules.refusal(Curve(rates, losses, smooth(losses), steps)) or "")
    assert rate_rules.refusal(Curve(rates, losses[1:], smooth(losses[1:]), steps)) is None  # the same from above


def test_noise_is_estimated_through_a_fall_and_spikes() -> None:
    rng = np.random.default_rng(2)
    losses = np.linspace(5, 0, 100) + 0.2 * rng.normal(size=100)
    losses[[20, 50]] += 4
    assert curve(losses, smooth(losses)).noise == pytest.approx(0.2, rel=0.25)


def test_a_sweep_that_ended_at_once_is_refused() -> None:
    losses = np.array([2.0, 1.0, 9.0, 99.0])
    assert "too early" in (rate_rules.refusal(curve(losses)) or "")
