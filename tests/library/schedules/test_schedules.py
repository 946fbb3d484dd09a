"""Schedules: the values of Keras's own classes, of closed forms, and of twins worked by hand."""
# ruff: noqa: E501

from __future__ import annotations

import inspect
import math
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from dltool.library.schedules import _checks as checks
from dltool.library.schedules._base import KerasTwin, Schedule
from dltool.library.schedules.chain import Chain
from dltool.library.schedules.constant import Constant
from dltool.library.schedules.cosine_decay import CosineDecay
from dltool.library.schedules.cosine_decay_restarts import CosineDecayRestarts
from dltool.library.schedules.cyclical import Cyclical
from dltool.library.schedules.exponential_decay import ExponentialDecay
from dltool.library.schedules.linear_decay import LinearDecay
from dltool.library.schedules.noam import Noam
from dltool.library.schedules.one_cycle import OneCycle
from dltool.library.schedules.piecewise_constant_decay import PiecewiseConstantDecay
from dltool.library.schedules.polynomial_decay import PolynomialDecay
from dltool.library.schedules.restarts import Restarts
from dltool.library.schedules.step_decay import StepDecay
from dltool.library.schedules.warm_up import WarmUp
from dltool.recipe import catalogue

OWN = {name: catalogue.find("schedules", name) for name in catalogue.own("schedules")}
# Values for required arguments, by name: a new schedule whose arguments are named as others' needs no line here.
ARGUMENTS: dict[str, Any] = {
    "base_learning_rate": 0.01, "boundaries": [3, 9], "d_model": 64, "decay_rate": 0.5, "decay_steps": 10,
    "end_learning_rate": 0.001, "first_decay_steps": 10, "initial_learning_rate": 0.1, "max_learning_rate": 0.2, "period": 7,
    "schedule": 0.1, "schedules": [0.1, LinearDecay(0.1, 0.01, 4), 0.02], "step_size": 5, "total_steps": 20, "value": 0.1,
    "values": [0.1, 0.05, 0.01], "warmup_steps": 6,
}  # fmt: skip


def required(schedule_class: type[Schedule]) -> dict[str, Any]:
    parameters = inspect.signature(schedule_class).parameters
    return {name: ARGUMENTS[name] for name, p in parameters.items() if p.default is p.empty}


def keras_schedules() -> dict[str, type]:
    found = vars(keras.optimizers.schedules)
    return {name: found[name] for name in found if inspect.isclass(found[name]) and name != "LearningRateSchedule"}


def of_keras(schedule: Any, steps: np.ndarray) -> np.ndarray:
    """What a Keras schedule gives, a step at a time."""
    many = tf.function(lambda array: tf.map_fn(schedule, array, fn_output_signature=schedule(0).dtype))
    return many(tf.constant(steps, tf.int64)).numpy()


CASES = [
    ("CosineDecay", {"initial_learning_rate": 0.1, "decay_steps": 700, "alpha": 0.01}),
    ("CosineDecay", {"initial_learning_rate": 0.001, "decay_steps": 700, "warmup_target": 0.1, "warmup_steps": 111}),
    ("CosineDecayRestarts", {"initial_learning_rate": 0.1, "first_decay_steps": 97}),
    ("CosineDecayRestarts", {"initial_learning_rate": 0.1, "first_decay_steps": 97, "t_mul": 1.0, "m_mul": 0.9, "alpha": 0.1}),
    ("CosineDecayRestarts", {"initial_learning_rate": 0.1, "first_decay_steps": 97, "t_mul": 1.3, "m_mul": 0.8}),
    ("ExponentialDecay", {"initial_learning_rate": 0.1, "decay_steps": 130, "decay_rate": 0.7}),
    ("ExponentialDecay", {"initial_learning_rate": 0.1, "decay_steps": 130, "decay_rate": 0.7, "staircase": True}),
    ("InverseTimeDecay", {"initial_learning_rate": 0.1, "decay_steps": 130, "decay_rate": 0.7}),
    ("InverseTimeDecay", {"initial_learning_rate": 0.1, "decay_steps": 130, "decay_rate": 0.7, "staircase": True}),
    ("PiecewiseConstantDecay", {"boundaries": [0, 300, 301], "values": [4.0, 0.1, 0.01, 0.02]}),
    ("PiecewiseConstantDecay", {"boundaries": [500], "values": [0.1, 0.01]}),
    ("PolynomialDecay", {"initial_learning_rate": 0.1, "decay_steps": 700}),
    ("PolynomialDecay", {"initial_learning_rate": 0.1, "decay_steps": 700, "power": 0.9, "end_learning_rate": 0.0}),
    ("PolynomialDecay", {"initial_learning_rate": 0.1, "decay_steps": 130, "power": 2.0, "cycle": True}),
]  # fmt: skip


def test_every_schedule_of_keras_has_its_twin_and_is_compared() -> None:
    own = {name for name, found in OWN.items() if issubclass(found, KerasTwin)}
    assert own == set(keras_schedules()) == {name for name, _ in CASES}


@pytest.mark.parametrize(("name", "arguments"), CASES)
def test_equals_kerass_own_class_at_1000_random_steps(name: str, arguments: dict[str, Any]) -> None:
    theirs, own = keras_schedules()[name], OWN[name](**arguments)
    steps = np.random.default_rng(5).integers(0, 1000, 1000)
    # Keras's logarithms round some first steps of a cycle to last steps of the one before, in float64 too
    steps = np.array([step for step in steps if not (own.cycle(int(step)) and own.cycle(int(step))[0] == step > 0)])
    assert len(steps) > 950
    if name != "PiecewiseConstantDecay":
        # float64 arguments make Keras compute in float64, free of the rounding of its float32
        given = inspect.signature(theirs).bind(**arguments)
        given.apply_defaults()
        exact = {key: np.float64(v) if isinstance(v, float) else v for key, v in given.arguments.items()}
        np.testing.assert_allclose(own(steps), of_keras(theirs(**exact), steps), rtol=1e-11, atol=1e-15)
    found = of_keras(theirs(**arguments), steps)
    np.testing.assert_allclose(own(steps), found, rtol=2e-5, atol=3e-6 * float(found.max()))


@pytest.mark.parametrize(("name", "arguments"), CASES)
def test_takes_the_arguments_of_kerass_own_class(name: str, arguments: dict[str, Any]) -> None:
    theirs = inspect.signature(keras_schedules()[name]).parameters
    own = inspect.signature(OWN[name]).parameters
    assert list(own) == list(theirs)
    assert [p.default for p in own.values()] == [p.default for p in theirs.values()]
    assert OWN[name](**arguments).as_keras()[1] == keras_schedules()[name](**arguments).get_config()


@pytest.mark.parametrize("schedule", [LinearDecay(0.1, 0.01, 37), StepDecay(0.1, 7, 0.3), CosineDecay(0.1, 50, 0.2)])
def test_what_a_saved_model_holds_is_the_same_schedule(schedule: Schedule) -> None:
    name, arguments = schedule.as_keras()
    theirs = keras_schedules()[name](**arguments)
    steps = np.arange(60)
    np.testing.assert_allclose(schedule(steps), of_keras(theirs, steps), rtol=2e-5)


@pytest.mark.parametrize("name", OWN)
def test_one_step_and_many_give_the_same_float64(name: str) -> None:
    schedule = OWN[name](**required(OWN[name]))
    steps = np.arange(40).reshape(8, 5)
    values = schedule(steps)
    assert (values.shape, values.dtype) == ((8, 5), np.float64)
    assert [float(schedule(int(step))) for step in steps.ravel()] == values.ravel().tolist()
    assert np.isfinite(values).all() and (values >= 0).all()
    if schedule.length is not None:
        assert float(schedule(schedule.length)) == float(schedule(10 * schedule.length))


@pytest.mark.parametrize("name", OWN)
def test_steps_that_are_not_positive_and_negative_rates_are_errors(name: str) -> None:
    arguments = required(OWN[name])
    refused = 0
    for key in inspect.signature(OWN[name]).parameters:
        if key.endswith(("_steps", "period", "step_size")):
            for wrong in (-5, 2.5, "many", True):
                with pytest.raises(
                    ValueError, match=rf"The '{key}' parameter of {name} must be an int .*Got {wrong!r} instead"
                ):
                    OWN[name](**{**arguments, key: wrong})
                refused += 1
        if key.endswith("learning_rate") or key == "value":
            for wrong in (-0.1, math.nan, math.inf, "high"):
                with pytest.raises(ValueError, match=rf"The '{key}' parameter of {name} must be a finite number >= 0"):
                    OWN[name](**{**arguments, key: wrong})
                refused += 1
    assert refused or name in ("Chain", "PiecewiseConstantDecay")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: PiecewiseConstantDecay([5, 5], [1, 2, 3]), "must be rising steps"),
        (lambda: PiecewiseConstantDecay([5], [1, 2, 3]), "must be one more than the 1 boundaries"),
        (
            lambda: PiecewiseConstantDecay([5], [1, -2]),
            "'values' parameter of PiecewiseConstantDecay must be a finite number >= 0",
        ),
        (lambda: Chain([0.1, 0.2], []), "must be 1 steps, one fewer than schedules"),
        (lambda: Chain([0.1, 0.2, 0.3], [9, 4]), "must be rising steps"),
        (lambda: Chain([], []), "must be a list that is not empty"),
        (lambda: Chain([0.1, "x"], [4]), "must be a schedule or a number >= 0. Got 'x'"),
        (lambda: WarmUp(-0.1, 4), "'schedule' parameter of WarmUp must be a finite number >= 0"),
        (lambda: OneCycle(0.1, 10, rise_fraction=1.0), r"must be a fraction in \(0, 1\)"),
        (
            lambda: OneCycle(0.1, 10, rise_fraction=0.6, three_phase=True),
            r"must be a fraction in \(0, 0.5\] with three_phase",
        ),
        (lambda: OneCycle(0.1, 1), "must be an int >= 2"),
        (lambda: OneCycle(0.1, 10, anneal="cosine"), "must be one of 'cos', 'linear'. Got 'cosine'"),
        (lambda: Cyclical(0.2, 0.1, 5), r"must be a number >= base_learning_rate \(0.2\). Got 0.1"),
        (lambda: Cyclical(0.1, 0.2, 5, gamma=0.9), "must be 1 unless mode is 'exp_range'"),
        (lambda: CosineDecayRestarts(0.1, 5, t_mul=0.5), "must be a finite number >= 1.0"),
        (lambda: CosineDecay(0.1, 5, warmup_steps=3), "needs 'warmup_target'"),
    ],
)
def test_arguments_that_can_never_work_are_errors(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_whole_floats_count_as_steps() -> None:
    assert checks.steps("X", "n", 1e4) == 10_000


# -- values worked by hand ----------------------------------------------------------------------------


def test_linear_decay_is_the_slides() -> None:
    # eps_k = (1 - k/tau) eps_0 + (k/tau) eps_tau: at k = 1 of 4 from 1 to 0.2, 0.75 + 0.05 = 0.8; constant from 4 on
    assert LinearDecay(1.0, 0.2, 4)(np.arange(7)).tolist() == pytest.approx([1.0, 0.8, 0.6, 0.4, 0.2, 0.2, 0.2])


def test_linear_decay_may_rise() -> None:
    assert LinearDecay(0.0, 1.0, 4)([0, 1, 4, 9]).tolist() == [0.0, 0.25, 1.0, 1.0]


def test_step_decay_halves_every_so_many_steps() -> None:
    assert StepDecay(0.8, 3)(np.arange(8)).tolist() == [0.8] * 3 + [0.4] * 3 + [0.2] * 2


def test_warm_up_rises_to_where_the_schedule_begins_and_then_follows_it() -> None:
    warm = WarmUp(LinearDecay(1.0, 0.0, 2), 4, initial_learning_rate=0.2)
    # 0.2 + 0.8 k / 4 for k < 4, then the line from its own step 0
    np.testing.assert_allclose(warm(np.arange(8)), [0.2, 0.4, 0.6, 0.8, 1.0, 0.5, 0.0, 0.0])
    assert (warm.length, warm.warmup_steps) == (6, 4)


def test_one_cycle_of_two_phases() -> None:
    # rise = 0.3 * 10 - 1 = 2: from 0.04 up over steps 0-2 with half a cosine, down to 4e-6 at step 9
    values = OneCycle(1.0, 10)(np.arange(12))
    half = 0.5 * (0.04 + 1.0)
    fall = [1.0 + (4e-6 - 1.0) * (1 - math.cos(math.pi * k / 7)) / 2 for k in range(8)]
    np.testing.assert_allclose(values, [0.04, half, *fall, 4e-6, 4e-6], rtol=1e-11)


def test_one_cycle_of_three_linear_phases() -> None:
    # up over 0-2, down as slowly to step 4, then to the final value at step 9: the shape of Smith & Topin
    values = OneCycle(1.0, 10, 0.1, 0.02, anneal="linear", three_phase=True)(np.arange(11))
    expected = [0.1, 0.55, 1.0, 0.55, 0.1, 0.084, 0.068, 0.052, 0.036, 0.02, 0.02]
    np.testing.assert_allclose(values, expected, rtol=1e-12)


@pytest.mark.parametrize("anneal", ["cos", "linear"])
@pytest.mark.parametrize(("total", "rise"), [(100, 0.3), (37, 0.45), (500, 0.123)])
def test_one_cycle_of_three_phases_ends_its_phases_where_pytorch_does(total: int, rise: float, anneal: str) -> None:
    # torch.optim.lr_scheduler.OneCycleLR: ends at pct * total - 1, 2 * pct * total - 2, total - 1
    def annealed(a: float, b: float, p: float) -> float:
        return b + (a - b) / 2 * (1 + math.cos(math.pi * p)) if anneal == "cos" else (b - a) * p + a

    top, start, low = 1.0, 1 / 25, 1 / 25 / 1e4
    ends = [(rise * total - 1, start, top), (2 * rise * total - 2, top, start), (total - 1, start, low)]
    expected = []
    for step in range(total):
        begin = 0.0
        for end, a, b in ends:
            if step <= end:
                expected.append(annealed(a, b, (step - begin) / (end - begin)))
                break
            begin = end
    values = OneCycle(top, total, rise_fraction=rise, anneal=anneal, three_phase=True)(np.arange(total))
    np.testing.assert_allclose(values, expected, rtol=1e-9)


def test_one_cycle_of_a_momentum_goes_the_other_way() -> None:
    values = OneCycle(0.85, 10, 0.95, 0.95)(np.arange(10))
    assert (values[0], values[2], values[9]) == pytest.approx((0.95, 0.85, 0.95))
    assert OneCycle(0.85, 10, 0.95, 0.95).warmup_steps == 0


@pytest.mark.parametrize("three_phase", [False, True])
@pytest.mark.parametrize("total", [2, 3, 4, 11])
def test_one_cycle_of_few_steps_has_its_ends(total: int, three_phase: bool) -> None:
    cycle = OneCycle(1.0, total, 0.1, 0.01, three_phase=three_phase)
    values = cycle(np.arange(total + 2))
    assert np.isfinite(values).all()
    assert values[total:].tolist() == pytest.approx([0.01, 0.01])
    assert values.max() <= 1.0 and values.min() >= 0.01 - 1e-15


def test_cyclical_rates_are_smiths() -> None:
    # half a cycle of 2 steps between 1 and 3: 1 2 3 2 | 1 2 3 2 | ...
    assert Cyclical(1, 3, 2)(np.arange(9)).tolist() == [1, 2, 3, 2, 1, 2, 3, 2, 1]
    assert Cyclical(1, 3, 2, "triangular2")(np.arange(11)).tolist() == [1, 2, 3, 2, 1, 1.5, 2, 1.5, 1, 1.25, 1.5]
    shrinking = Cyclical(1, 3, 2, "exp_range", gamma=0.9)(np.arange(5))
    np.testing.assert_allclose(shrinking, [1, 1 + 1 * 0.9, 1 + 2 * 0.9**2, 1 + 1 * 0.9**3, 1])


def test_noam_is_equation_3() -> None:
    steps = np.arange(1, 9)  # the paper's, from 1
    expected = [512**-0.5 * min(n**-0.5, n * 4**-1.5) for n in steps]
    np.testing.assert_allclose(Noam(512, 4)(steps - 1), expected, rtol=1e-14)
    assert int(np.argmax(Noam(512, 4)(np.arange(20)))) == 3  # step 4 of the paper


def test_a_chain_gives_each_schedule_its_own_steps() -> None:
    chain = Chain([0.5, LinearDecay(1.0, 0.0, 2), 0.1], [2, 5])
    assert chain(np.arange(7)).tolist() == [0.5, 0.5, 1.0, 0.5, 0.0, 0.1, 0.1]
    assert chain.length is None
    assert Chain([0.5, LinearDecay(1.0, 0.0, 2)], [2]).length == 4


@pytest.mark.parametrize(("t_mul", "m_mul"), [(1.0, 1.0), (2.0, 0.5), (1.5, 1.0), (1.1, 0.9)])
def test_restarts_of_a_cosine_are_cosine_decay_restarts(t_mul: float, m_mul: float) -> None:
    steps = np.arange(500)
    own = Restarts(CosineDecay(0.1, 12), 12, t_mul, m_mul)(steps)
    np.testing.assert_allclose(own, CosineDecayRestarts(0.1, 12, t_mul, m_mul)(steps), rtol=1e-10, atol=1e-16)


def test_restarts_repeat_any_schedule() -> None:
    # periods of 3 and 6 steps; in the second the line is walked at half speed
    values = Restarts(LinearDecay(1.0, 0.0, 3), 3, t_mul=2.0, m_mul=0.5)(np.arange(9))
    np.testing.assert_allclose(values, [1, 2 / 3, 1 / 3, *(0.5 * (1 - k / 6) for k in range(6))])


@pytest.mark.parametrize(
    ("schedule", "step", "cycle"),
    [
        (CosineDecayRestarts(0.1, 10), 9, (0, 10)),
        (CosineDecayRestarts(0.1, 10), 10, (10, 30)),
        (CosineDecayRestarts(0.1, 10), 69, (30, 70)),
        (Restarts(0.1, 10), 25, (20, 30)),
        (Cyclical(0.1, 0.2, 5), 25, (20, 30)),
        (WarmUp(Cyclical(0.1, 0.2, 5), 3), 25, (23, 33)),
        (WarmUp(Cyclical(0.1, 0.2, 5), 3), 2, None),
        (Chain([0.1, Restarts(0.1, 7)], [10]), 18, (17, 24)),
        (PolynomialDecay(0.1, 10, cycle=True), 10, (0, 10)),
        (PolynomialDecay(0.1, 10, cycle=True), 11, (10, 20)),
        (OneCycle(0.1, 10), 3, (0, 10)),
        (ExponentialDecay(0.1, 10, 0.5), 3, None),
    ],
)  # fmt: skip
def test_a_schedule_tells_the_cycle_that_a_step_is_in(schedule: Schedule, step: int, cycle: Any) -> None:
    assert schedule.cycle(step) == cycle


def test_steps_beyond_float32_are_told_apart() -> None:
    """2^24 + 1 is no float32: a schedule in float32 would stand still there."""
    line = LinearDecay(1.0, 0.0, 2**25)
    assert float(line(2**24 + 1)) < float(line(2**24))


def test_a_constant_stays() -> None:
    assert Constant(0.3)([0, 10**9]).tolist() == [0.3, 0.3]
    with pytest.raises(ValueError, match="'value' parameter of Constant"):
        Constant(-1)
