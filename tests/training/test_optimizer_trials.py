"""Optimizers on small problems: the gradients are the losses', the figures closed forms, the noise the same for all."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from dltool.training.optimizer_problems import PERIOD, PROBLEMS, Problem
from dltool.training.optimizer_trials import RATES, Outcome, Trials, best_of

NAMES = [one.name for one in PROBLEMS]


def named(*names: str) -> list[Problem]:
    return [one for one in PROBLEMS if one.name in names]


def left(optimizer: Any, *names: str, steps: int = 20, **options: Any) -> list[float]:
    return [one.left for one in Trials(optimizer, named(*names), steps, **options).run()]


def test_each_problem_has_a_name_and_its_minimum_is_lowest() -> None:
    assert len(set(NAMES)) == len(NAMES) >= 15
    points = np.random.default_rng(0).uniform(-3, 3, (25, 10)).astype(np.float32)
    for one in PROBLEMS:
        values = [float(one.loss(tf.constant(point[: len(one.start)]), 0)) for point in points]
        assert min(values) >= one.lowest - 1e-6
        assert float(one.loss(tf.constant(one.start), 0)) > one.lowest


@pytest.mark.parametrize(
    ("name", "minimum"),
    [
        ("bowl", [0]), ("kink", [0]), ("cliff", [0]), ("plateau", [0]), ("valley", [0, 0]), ("saddle", [0, 1]),
        ("banana", [1, 1]), ("sparse", [0] * 10), ("drift", [0, 1]),
    ],
)  # fmt: skip
def test_the_minimum_is_where_it_should_be(name: str, minimum: list[float]) -> None:
    (one,) = named(name)
    quarter = PERIOD // 4  # in which the drifting one has gone from (1, 0) to (0, 1)
    assert float(one.loss(tf.constant(minimum, tf.float32), quarter)) == pytest.approx(one.lowest, abs=1e-6)


def test_gradient_descent_on_bowls_is_the_closed_form() -> None:
    """w_t = (1 - rate * curvature)^t; the last tenth, steps 19 and 20 of 20, are judged."""
    rate = 0.01
    found = left(keras.optimizers.SGD(rate), "bowl", "shallow")
    expected = [np.mean([(1 - rate * c) ** (2 * t) for t in (19, 20)]) for c in (1.0, 1e-4)]
    assert found == pytest.approx(expected, rel=1e-4)


def test_a_corrupted_gradient_is_not_biased() -> None:
    """Mask and random factor keep the mean; noise is of mean 0: averaged over noise each is the true gradient."""
    generator = np.random.default_rng(0)
    for one in named("noise", "factor", "sparse"):
        assert one.noise is not None and one.corrupt is not None
        gradient = np.ones((20_000, len(one.start)))
        corrupted = one.corrupt(gradient, one.noise(generator, gradient.shape))
        np.testing.assert_allclose(corrupted.mean(axis=0), 1.0, atol=0.1)


def test_adam_sees_no_curvature_and_gradient_descent_does() -> None:
    """The step of Adam is the same for a gradient times 1e4 or 1e-4, but for its epsilon."""
    bowl, steep, shallow = left(keras.optimizers.Adam(0.05, epsilon=1e-12), "bowl", "steep", "shallow")
    assert steep == pytest.approx(bowl, rel=1e-3) and shallow == pytest.approx(bowl, rel=1e-3)
    bowl, steep, shallow = left(keras.optimizers.SGD(0.5), "bowl", "steep", "shallow")
    assert bowl < 1e-6 and steep == np.inf and shallow > 0.99


def test_a_problem_that_diverges_leaves_the_others_alone() -> None:
    alone = left(keras.optimizers.SGD(0.5), "bowl")
    assert left(keras.optimizers.SGD(0.5), "bowl", "steep")[0] == alone[0]


def test_every_rate_begins_afresh_with_the_same_noise() -> None:
    trials = Trials(keras.optimizers.Adam(), named("bowl", "noise"), 20, trials=3)
    first = trials.run(0.1)
    trials.run(0.01)
    assert trials.run(0.1) == first
    other = Trials(keras.optimizers.Adam(), named("bowl", "noise"), 20, trials=3, seed=1).run(0.1)
    assert other[0] == first[0] and other[1] != first[1]


def test_best_of_takes_one_rate_or_each_problems_own() -> None:
    runs = [
        [Outcome("a", 0.1, 0.001), Outcome("b", 0.1, np.inf)],  # decades -3, 1
        [Outcome("a", 0.01, 0.1), Outcome("b", 0.01, 0.1)],  # decades -1, -1; the mean is the same but for this
        [Outcome("a", 0.02, 0.05), Outcome("b", 0.02, 0.05)],
    ]
    assert best_of(runs) == runs[2]
    assert best_of(runs, each=True) == [runs[0][0], runs[2][1]]
    assert [one.verdict for one in (*runs[0], *runs[1][:1], Outcome("c", None, 0.9))] == ["solved", "worse", "slow", "stuck"]  # fmt: skip # noqa: E501
    assert RATES[0] == 1e-4 and RATES[-1] == 100 and all(np.diff(RATES) > 0)
