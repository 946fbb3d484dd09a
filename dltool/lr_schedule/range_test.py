"""The learning-rate range test: training steps whose rate rises from step to step."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from dltool.data.pipelines.base import Pipeline, Step
from dltool.data.pipelines.repeated import Repeated
from dltool.graph import keras_internals
from dltool.lr_schedule.rate_rules import SMOOTHING, first_step, smooth
from dltool.training.fusion.fusion import fuse
from dltool.training.procedures.gradient_descent import training_step
from dltool.training.random_state import kept_random_state
from dltool.training.scheduled_optimizer import schedules_of
from dltool.training.training_state import variables

DIVERGENCE = 4.0  # times the lowest smoothed loss, as fastai's finder
STEPS_A_CALL = 10  # of the compiled loop, so that an interrupt is obeyed


@dataclass
class Sweep:
    """The result of a range test.

    Args:
        learning_rates: of each step done, float (steps,).
        losses: of each step's batch before its update, penalties included, float (steps,).
        smoothed: bias-corrected exponential mean of `losses`, float (steps,).
        validation_losses: of one fixed batch after each update, float (steps,), or None.
        stopped: why the sweep ended before its last rate, in words; None if it did not.
    """

    learning_rates: np.ndarray
    losses: np.ndarray
    smoothed: np.ndarray
    validation_losses: np.ndarray | None = None
    stopped: str | None = None


def rates(low: float, high: float, steps: int, spacing: str = "exponential") -> np.ndarray:
    """Learning rates from `low` to `high`, float (steps,): of constant ratio, or of constant difference ("linear").

    Raises:
        ValueError: not 0 < low < high, fewer than 2 steps, or an unknown spacing.
    """
    if not 0 < low < high < math.inf:
        raise ValueError(f"the rates must rise from a positive number to a larger one. Got {low} to {high}.")
    if steps < 2:
        raise ValueError(f"a sweep takes at least 2 steps. Got {steps}.")
    if spacing not in ("exponential", "linear"):
        raise ValueError(f"the sweep is exponential or linear. Got {spacing!r}.")
    return np.geomspace(low, high, steps) if spacing == "exponential" else np.linspace(low, high, steps)


def sweep(
    model: Any,
    train: Pipeline,
    learning_rates: np.ndarray,
    *,
    validation: Pipeline | None = None,
    augment: Any | None = None,
    shuffle: bool = True,
    class_weight: np.ndarray | None = None,
    jit_compile: bool = False,
    seed: int = 0,
    smoothing: float = SMOOTHING,
    divergence: float = DIVERGENCE,
) -> Sweep:
    """Take one training step at each rate, then put weights, optimizer and random state back.

    The steps are those that training would take with the model's own optimizer: augmentation, class weights and the
    order of examples included; what else follows a schedule, such as momentum, keeps its first value. The sweep ends
    early when a loss is not finite, or once the smoothed loss s_t exceeds its lowest value m so far by
    (divergence - 1) |m|, for a positive loss s_t > divergence m; for that the first tenth of the steps does not count,
    whose smoothed loss is that of a few batches. Afterwards weights, optimizer slots, metrics and random state have
    the bits they had.

    Args:
        model: compiled, its optimizer and metrics built.
        learning_rates: float (steps,).
        validation: its first batch is the fixed one; None for none.
        augment, shuffle, class_weight, jit_compile, seed: as `GradientDescent.fit`.
        smoothing: of the loss, in [0, 1).
        divergence: number > 1.
    Raises:
        ValueError: the optimizer has no one learning rate.
    Limits: with gradient accumulation a step is one batch, so that an update takes the last rate of several. Without
        `jit_compile` layers and loss stay fused afterwards (`fusion.fuse`), which is not for XLA.
    Reference: Smith, 2017, "Cyclical learning rates for training neural networks", section 3.3; its exponential form
        and the stop at divergence are fastai's (Howard & Gugger, 2020, `LRFinder`).
    """
    if not 0 <= smoothing < 1 or divergence <= 1:
        raise ValueError(f"smoothing lies in [0, 1), divergence above 1. Got {smoothing} and {divergence}.")
    held = _untouched(model, augment, fused=not jit_compile)
    with held, _record(model, learning_rates, validation, smoothing, divergence) as record:
        inner = training_step(model, augment, class_weight, jit_compile)
        _run(record.step(inner), train, len(learning_rates), seed if shuffle else None)
        return record.result()


def _run(step: Step, train: Pipeline, count: int, seed: int | None) -> None:
    """Do `count` steps in the order of training, over as many passes as they take, or until one is not finite."""
    batches, done = Repeated(train, seed), 0
    while done < count:
        steps, value = batches.advance(step, done, min(STEPS_A_CALL, count - done))
        if not math.isfinite(value):
            return
        done += steps


class _Record:
    """The record that the compiled loop writes, step by step.

    Args:
        index: of the step under way.
    """

    def __init__(self, model: Any, learning_rates: np.ndarray, batch: Any, smoothing: float, divergence: float) -> None:
        self.model, self.learning_rates, self.batch = model, learning_rates, batch
        self.smoothing, self.divergence = smoothing, divergence
        self.first = first_step(len(learning_rates))
        self.rates = tf.constant(learning_rates, tf.float32)
        self.index = tf.Variable(0, dtype=tf.int64, trainable=False)
        count = len(learning_rates)
        self.losses = tf.Variable(tf.zeros([count]), trainable=False)
        self.validation_losses = tf.Variable(tf.zeros([count]), trainable=False)
        self.mean = tf.Variable(0.0, trainable=False)
        self.lowest = tf.Variable(math.inf, trainable=False)
        self.diverged = tf.Variable(False, trainable=False)

    def step(self, training: Step) -> Step:
        def step(x: Any, y: Any) -> tf.Tensor:
            self.model.reset_metrics()  # the mean loss is then that of this batch
            loss = training(x, y)
            self.losses[self.index].assign(loss)
            if self.batch is not None:
                self.validation_losses[self.index].assign(self._validation_loss())
            self.index.assign_add(1)
            return tf.where(self._diverges(loss), tf.constant(math.nan), loss)

        return step

    def _diverges(self, loss: tf.Tensor) -> tf.Tensor:
        b = self.smoothing
        self.mean.assign(b * self.mean + (1 - b) * loss)
        smoothed = self.mean / (1 - tf.pow(b, tf.cast(self.index, tf.float32)))
        counts = self.index > self.first  # it is the number of steps done here
        self.lowest.assign(tf.where(counts, tf.minimum(self.lowest, smoothed), self.lowest))
        self.diverged.assign(smoothed - self.lowest > (self.divergence - 1) * tf.abs(self.lowest))
        return self.diverged

    def _validation_loss(self) -> tf.Tensor:
        x, y = self.batch
        loss = self.model.compute_loss(x, y, self.model(x, training=False), None, training=False)
        return tf.cast(loss, tf.float32)

    def result(self) -> Sweep:
        done = int(self.index)
        losses = self.losses.numpy()[:done].astype(float)
        validation = self.validation_losses.numpy()[:done].astype(float)
        stopped, last = None, self.learning_rates[done - 1]
        if done and not math.isfinite(losses[-1]):
            stopped = f"the loss became {'NaN' if math.isnan(losses[-1]) else 'infinite'} at a rate of {last:.3g}"
            done -= 1
        elif bool(self.diverged):
            stopped = f"the loss diverged at a rate of {last:.3g}"
        losses, validation = losses[:done], validation[:done]
        found = Sweep(self.learning_rates[:done], losses, smooth(losses, self.smoothing), stopped=stopped)
        if self.batch is not None:
            found.validation_losses = validation
        return found


class _Swept(keras.optimizers.schedules.LearningRateSchedule):
    """The sweep's rate in place of the optimizer's own."""

    def __init__(self, record: _Record) -> None:
        self.record = record

    def __call__(self, step: Any) -> tf.Tensor:
        return tf.gather(self.record.rates, self.record.index)


@contextmanager
def _record(
    model: Any, learning_rates: np.ndarray, validation: Pipeline | None, smoothing: float, divergence: float
) -> Iterator[_Record]:
    """Open a record whose rates the optimizer uses while the block runs."""
    optimizer = keras_internals.inner_optimizer(model.optimizer)
    rate = keras_internals.learning_rate(optimizer)
    if rate is None:
        raise ValueError(f"{type(optimizer).__name__} has no one learning rate to sweep")
    batch = None if validation is None else next(validation.batches(1))
    record = _Record(model, learning_rates, batch, smoothing, divergence)
    apply = vars(optimizer).get("apply")
    keras_internals.set_learning_rate(optimizer, _Swept(record))
    scheduled = {name: table for name, table in schedules_of(optimizer).items() if name != "learning_rate"}
    if scheduled:  # a sweep may outlast the training that the schedules are for
        vars(optimizer).pop("apply")  # which would set them to their values at the step; the class's does not
    numbers = {name: getattr(optimizer, name) for name in scheduled}
    for name, table in scheduled.items():
        setattr(optimizer, name, float(table.schedule(0)))
    try:
        yield record
    finally:
        keras_internals.set_learning_rate(optimizer, rate)
        for name, number in numbers.items():
            setattr(optimizer, name, number)
        if scheduled:
            optimizer.apply = apply


@contextmanager
def _untouched(model: Any, augment: Any | None, fused: bool) -> Iterator[None]:
    """Put back every variable of training, and random state, when the block ends."""
    optimizer = keras_internals.inner_optimizer(model.optimizer)
    own: Callable[..., Any] | None = vars(optimizer).get("update_step")
    with kept_random_state():
        saved = [(variable, np.array(variable)) for variable in variables(model, augment).values()]
        if fused:  # as in training, where XLA does not fuse by itself
            fuse(model)
        try:
            yield
        finally:
            for variable, array in saved:
                variable.assign(array)
            vars(optimizer).pop("update_step", None)
            if own is not None:
                optimizer.update_step = own
