"""An optimizer tried on small problems: the share of the loss that is left, at each of several learning rates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from dltool.training.optimizer_problems import PROBLEMS, Problem

RATES = tuple(float(f"{10 ** (exponent / 2):.1g}") for exponent in range(-8, 5))  # 1e-4, 3e-4, ... 1e2
JUDGED = 0.1  # share of the last steps whose mean loss counts
SOLVED, ONWARD = 0.01, 0.5  # shares of the loss left: at most these are "solved" and "slow"
BOUNDS = (1e-4, 10.0)  # of shares, where rates are compared


@dataclass(frozen=True)
class Outcome:
    """How an optimizer did on a problem.

    Args:
        problem: its name.
        rate: the learning rate, None if the optimizer's own.
        left: (J - lowest) / (J at the start - lowest), J the mean of the last steps, the median over trials; infinite
            if it is no number.
    """

    problem: str
    rate: float | None
    left: float

    @property
    def verdict(self) -> str:
        """One word: solved, slow, stuck, or worse (than the start, diverged included)."""
        if self.left <= SOLVED:
            return "solved"
        return "slow" if self.left <= ONWARD else "stuck" if self.left <= 1 else "worse"


class Trials:
    """All problems at once: each trial of each problem is a weight of its own of one optimizer.

    Optimizers treat weights apart, but for `global_clipnorm`. The noise is the same for every optimizer and rate.

    Args:
        optimizer: a Keras optimizer, not built yet.
        problems: what it is tried on.
        steps: updates, int > 0.
        trials: of each problem with noise, int > 0.
        seed: of the noise.
    """

    def __init__(
        self, optimizer: Any, problems: Sequence[Problem] = PROBLEMS, steps: int = 100, trials: int = 5, seed: int = 0
    ) -> None:
        self.optimizer, self.problems, self.steps = optimizer, problems, steps
        self._owners = [one for one in problems for _ in range(trials if one.noise is not None else 1)]
        self._weights = [keras.Variable(np.array(one.start, np.float32)) for one in self._owners]
        self._noises = [_noise(one, steps, seed, number) for number, one in enumerate(self._owners)]
        optimizer.build(self._weights)
        self._states = [np.array(variable) for variable in optimizer.variables]
        self._losses = tf.Variable(tf.zeros([len(self._owners)]), trainable=False)
        self._loop = tf.function(self._all_steps, autograph=False)

    def run(self, rate: float | None = None) -> list[Outcome]:
        """Return an outcome a problem, from the start with a fresh optimizer.

        Args:
            rate: the learning rate; None leaves the optimizer's.
        """
        for variable, value in zip(self.optimizer.variables, self._states, strict=True):
            variable.assign(value)
        for weight, owner in zip(self._weights, self._owners, strict=True):
            weight.assign(owner.start)
        if rate is not None:
            self.optimizer.learning_rate = rate
        self._losses.assign(tf.zeros_like(self._losses))
        self._loop()
        ends = self._losses.numpy().astype(np.float64)
        return [Outcome(one.name, rate, self._left(one, ends)) for one in self.problems]

    def _left(self, problem: Problem, ends: np.ndarray) -> float:
        own = ends[[owner is problem for owner in self._owners]] - problem.lowest
        first = float(problem.loss(tf.constant(problem.start), 0)) - problem.lowest
        return float(np.median(np.where(np.isfinite(own), np.maximum(own / first, 0.0), np.inf)))

    def _all_steps(self) -> None:
        judged = max(1, round(JUDGED * self.steps))

        def one_step(step: Any) -> Any:
            parts = zip(self._owners, self._weights, self._noises, strict=True)
            gradients = [self._gradient(owner, weight, noise, step) for owner, weight, noise in parts]
            self.optimizer.apply(gradients, self._weights)
            values = [owner.loss(w.value, step + 1) for owner, w in zip(self._owners, self._weights, strict=True)]
            counts = tf.cast(step >= self.steps - judged, tf.float32) / judged
            self._losses.assign_add(tf.where(counts > 0, counts * tf.stack(values), 0.0))
            return step + 1

        tf.while_loop(lambda step: step < self.steps, lambda step: (one_step(step),), [tf.constant(0)])

    def _gradient(self, owner: Problem, weight: Any, noise: Any, step: Any) -> Any:
        value = weight.value
        with tf.GradientTape() as tape:
            tape.watch(value)
            loss = owner.loss(value, step)
        gradient = tape.gradient(loss, value)
        return gradient if owner.corrupt is None else owner.corrupt(gradient, noise[step])


def best_of(runs: Sequence[Sequence[Outcome]], each: bool = False) -> list[Outcome]:
    """Return an outcome a problem: those of the one best rate, or of each problem's own best.

    Args:
        runs: a list of outcomes for every rate tried.
        each: whether every problem may have its own.
    """
    if each:
        return [min(column, key=lambda one: one.left) for column in zip(*runs, strict=True)]
    means = [float(_decades(outcomes).mean()) for outcomes in runs]
    return list(runs[int(np.argmin(means))])


def _decades(outcomes: Sequence[Outcome]) -> np.ndarray:
    return np.log10(np.clip([one.left for one in outcomes], *BOUNDS))


def _noise(problem: Problem, steps: int, seed: int, number: int) -> Any:
    if problem.noise is None:
        return tf.zeros([steps, len(problem.start)])
    generator = np.random.default_rng([seed, number])
    return tf.constant(problem.noise(generator, (steps, len(problem.start))), tf.float32)
