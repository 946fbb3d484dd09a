"""Minibatch gradient descent, as `keras.Model.fit`, with an exact state to resume from."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import keras
import numpy as np
import tensorflow as tf

from dltool.data.pipelines.base import Pipeline, Step
from dltool.data.pipelines.repeated import Repeated
from dltool.graph import recurrent_state
from dltool.library.callbacks._periodic import PeriodicCallback, Periods
from dltool.training.augmentation import augmented_pair, sharing
from dltool.training.averages import Averages, without_swapping
from dltool.training.counting import count, reads_indices
from dltool.training.cudnn import compute_in_float32
from dltool.training.evaluation import Evaluation, figures_of
from dltool.training.fusion.fusion import fuse
from dltool.training.schedule_table import WINDOW
from dltool.training.scheduled_optimizer import current_values, reach
from dltool.training.training_state import (
    Position,
    TrainingState,
    as_part,
    capture_arrays,
    capture_callbacks,
    own_part,
    restore,
)

SECONDS_A_CALL = 0.2  # how long the compiled loop runs before Python looks at signals and progress
STEPS_A_CALL = WINDOW // 2  # at most: schedules are tabulated that far
EPOCH_ONLY = (keras.callbacks.EarlyStopping, keras.callbacks.TerminateOnNaN)


class Observer(Protocol):
    """Who watches training: progress, checkpoints, interruption. It may raise to end training."""

    def begun(self, procedure: GradientDescent) -> None: ...

    def advanced(self, procedure: GradientDescent) -> None:
        """Note the progress; called at least once per epoch, before its validation."""

    def epoch_ended(self, procedure: GradientDescent, row: dict[str, float]) -> None: ...


class GradientDescent:
    """Minibatch gradient descent with the model's own optimizer, loss and metrics.

    The same steps as `keras.Model.fit`, with Keras's callbacks, but with the batches gathered inside a
    compiled loop of many steps. The order of a pass over the data is a function of (seed, pass), so a state captured
    after any batch leads to the same bits as training that was never stopped. With `steps_per_epoch` an epoch goes on
    where the one before ended, and a new pass begins where the data end.

    Limits: batch hooks of callbacks that need every batch (`on_train_batch_end`) cost the loop its speed:
    it then runs one step at a time. A callback that needs only some steps is a `PeriodicCallback`.
    Reference: lecture slides 66-67 (batch, minibatch and stochastic gradient descent).
    """

    models: Sequence[Any] = ()  # that a step calls beside the one it trains
    metrics: Sequence[keras.Metric] = ()  # of training alone, beside the model's

    def prepare(
        self,
        model: Any,
        steps_per_epoch: int,
        load: Callable[[Path], Any] | None = None,
        class_names: Sequence[str] | None = None,
    ) -> None:
        """Prepare a compiled model before its optimizer's slots and metrics are built; here do nothing.

        Args:
            steps_per_epoch: batches per epoch, int > 0.
            load: opens a run directory's or file's model, for procedures that need one; by default Keras does.
            class_names: of the data, in the order of the model's outputs, if known.
        Raises:
            ValueError: the model does not suit this procedure.
        """

    def enter(self, model: Any, position: Position) -> None:
        """Make the model, its optimizer above all, as a state captured at `position` needs it to be put back."""

    def figures(self) -> dict[str, float]:
        """Loss and metrics of the epoch under way as they stand."""
        return figures_of(self.model) | {metric.name: float(metric.result()) for metric in self.metrics}

    def own_arrays(self) -> dict[str, np.ndarray]:
        """Return the procedure's own state, in addition to model, optimizer and callbacks."""
        variables = [variable for metric in self.metrics for variable in metric.variables]
        return {f"metrics/{index}": np.asarray(variable) for index, variable in enumerate(variables)}

    def go_on(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Restore the result of `own_arrays`. Missing arrays (the run began otherwise) change nothing.

        Raises:
            ValueError: training can't go on from there.
        """
        for index, variable in enumerate(variable for metric in self.metrics for variable in metric.variables):
            if (array := arrays.get(f"metrics/{index}")) is not None:
                variable.assign(array)

    def fit(
        self,
        model: Any,
        train: Pipeline,
        validation: Pipeline | None = None,
        *,
        epochs: int = 1,
        callbacks: Sequence[Any] = (),
        augment: Any | None = None,
        shuffle: bool = True,
        class_weight: np.ndarray | None = None,
        steps_per_epoch: int | None = None,
        validation_steps: int | None = None,
        validation_freq: int = 1,
        steps_per_execution: int | None = None,
        jit_compile: bool = False,
        seed: int = 0,
        evaluation: Evaluation | None = None,
        observer: Observer | None = None,
        state: TrainingState | None = None,
    ) -> list[dict[str, float]]:
        """Fit a compiled model whose metrics are built.

        Args:
            epochs: passes over the data altogether, those of `state` included.
            augment: a model applied to the inputs of training batches; in a `keras.Sequential`, layers that mix
                examples mix their targets too.
            class_weight: weight of each class in the loss, float (classes,).
            steps_per_epoch: batches per epoch, at most `train.steps`; the next epoch continues with the following
                batches.
            validation_freq: epochs from one validation to the next.
            steps_per_execution: steps per call of the compiled loop; None chooses by time.
            jit_compile: whether XLA compiles the step.
            evaluation: of the same model, if it exists; saves tracing it again.
            state: where to continue.
        Returns:
            The history, one row per epoch: epoch, step, seconds, learning_rate and other scheduled values as the
                epoch's
            last step used them, figures, val_ figures.
        Raises:
            FloatingPointError: the loss became NaN or infinite.
        """
        self._begin_fit(model, min(steps_per_epoch or train.steps, train.steps), epochs)
        self.model, self.augment, self.callbacks = model, augment, list(callbacks)
        self.epochs, self.history, self.position = epochs, [], Position()
        self.steps = min(steps_per_epoch or train.steps, train.steps)
        self.epoch_size = min(train.size, self.steps * train.batch_size)
        self.examples_per_second = 0.0  # of the epoch under way, validation left out
        self._execution = (class_weight, jit_compile)
        self.averages = Averages(model, self.callbacks)
        self.evaluation = evaluation or Evaluation(model)
        if state is not None:
            self.enter(model, state.position)
        self._renew()
        called = without_swapping(self.callbacks)
        hooks = keras.callbacks.CallbackList(called, model=model, epochs=epochs, steps=self.steps, verbose=0)
        model.stop_training = False
        periods = Periods([callback for callback in self.callbacks if isinstance(callback, PeriodicCallback)])
        periods.offer(train, validation)
        hooks.on_train_begin()
        if state is not None:
            restore(state, model, augment, self.callbacks)
            self.averages.go_on(self.callbacks)
            self.go_on(own_part(state.arrays))
            self.position, self.history = state.position, list(state.history)
            model.stop_training = state.stopped
        if observer is not None:
            observer.begun(self)
        self._mark = time.perf_counter()
        if state is None:
            periods.call(0)
        chunk = _Chunk(steps_per_execution or (1 if _hooks_batches(self.callbacks) else None))
        logs: dict[str, float] = {}
        batches = Repeated(train, seed if shuffle else None)
        while self.position.epoch < epochs and not model.stop_training:
            number = self.position.epoch
            if self.position.step == 0:
                model.reset_metrics()
                for metric in self.metrics:
                    metric.reset_state()
                self.position.epoch_seconds = 0.0
            hooks.on_epoch_begin(number)
            self._begin_epoch(number)
            while self.position.step < self.steps:
                hooks.on_train_batch_begin(self.position.step)
                self._advance(batches, chunk, periods.steps_left(self.position.total_steps))
                hooks.on_train_batch_end(self.position.step - 1, self.figures())
                periods.call(self.position.total_steps)
                if observer is not None:
                    observer.advanced(self)
                if model.stop_training:
                    break
            logs = self.figures()
            rates = current_values(model.optimizer)
            with self.averages.in_model():
                if validation is not None and (number + 1) % validation_freq == 0:
                    hooks.on_test_begin()
                    found = self.evaluation.run(validation, validation_steps)
                    logs |= {f"val_{name}": value for name, value in found.items()}
                    hooks.on_test_end(found)
                    self._check_finite(logs["val_loss"], "validation loss")
                self._tick()
                row = {
                    "epoch": number + 1,
                    "step": self.position.total_steps,
                    "seconds": self.position.epoch_seconds,
                }
                row |= {**self._columns(), **rates, **logs}
                hooks.on_epoch_end(number, logs)
                self.history.append(row)
                self.position.epoch, self.position.step = number + 1, 0
                if observer is not None:
                    observer.epoch_ended(self, row)
        model.optimizer.finalize_variable_values(model.trainable_variables)
        hooks.on_train_end(logs)
        return self.history

    def state(self) -> TrainingState:
        """Return a snapshot to continue from, valid whenever the observer is called."""
        with self.averages.in_model(wanted=False):
            arrays = capture_arrays(self.model, self.augment, self.callbacks)
        return TrainingState(
            position=Position(**vars(self.position)),
            arrays=arrays | as_part(self.own_arrays()),
            callbacks=capture_callbacks(self.callbacks),
            history=list(self.history),
            stopped=bool(self.model.stop_training),
        )

    def _begin_fit(self, model: Any, steps_per_epoch: int, epochs: int) -> None:
        """Called first of all."""

    def _begin_epoch(self, number: int) -> None:
        """Called before an epoch, counted from 0, or the rest of one."""

    def _columns(self) -> dict[str, float]:
        """Return additional columns of a row of the history."""
        return {}

    def _renew(self) -> None:
        """Rebuild step and evaluation for the model's present optimizer and trainable layers."""
        class_weight, jit_compile = self._execution
        if not jit_compile:  # XLA fuses by itself
            fuse(self.model)
        self._step = training_step(self.model, self.augment, class_weight, jit_compile)
        self.evaluation.renew()

    def _advance(self, batches: Repeated, chunk: _Chunk, at_most: int) -> None:
        position = self.position
        first = position.epoch * self.steps + position.step
        if batches.begins(first):
            recurrent_state.reset(self.model)
        began = time.perf_counter()
        steps = min(chunk.steps, at_most, STEPS_A_CALL, self.steps - position.step)
        reach(self.model.optimizer, steps)
        done, value = batches.advance(self._step, first, steps)
        position.step += done
        position.total_steps += done
        chunk.took(done, time.perf_counter() - began)
        self._tick()
        share = position.step / self.steps
        if position.epoch_seconds > 0:
            self.examples_per_second = share * self.epoch_size / position.epoch_seconds
        self._check_finite(value, "loss")

    def _tick(self) -> float:
        """Add the wall time since the last tick to the training's; all that happens between counts."""
        now = time.perf_counter()
        seconds, self._mark = now - self._mark, now
        self.position.seconds += seconds
        self.position.epoch_seconds += seconds
        return seconds

    def _check_finite(self, value: float, what: str) -> None:
        if not math.isfinite(value):
            kind = "NaN" if math.isnan(value) else "infinite"
            where = f"at step {self.position.total_steps} (epoch {self.position.epoch + 1}, batch {self.position.step})"
            raise FloatingPointError(f"{what} became {kind} {where}")


def training_step(model: Any, augment: Any | None, class_weight: np.ndarray | None, jit_compile: bool) -> Step:
    """Return a step of gradient descent for a pipeline's compiled loop: step(x, y) -> running mean loss.

    From now on cuDNN computes in float32 what is bfloat16 (`cudnn_recurrence`), in the whole process.

    Args:
        augment: a model applied to the batch's inputs.
        class_weight: weight of each class in the loss, float (classes,).
        jit_compile: whether XLA compiles the step.
    """
    compute_in_float32()
    count(model)
    indices = reads_indices(model.loss)

    def update(x: Any, y: Any, mixture: Any) -> tf.Tensor:
        weight = None if class_weight is None else sample_weights(class_weight, y, indices)
        with sharing(model, mixture, y, weight) as (y, weight):
            data = (x, y) if weight is None else (x, y, weight)
            return tf.cast(model.train_step(data)["loss"], tf.float32)

    compiled = tf.function(update, jit_compile=True) if jit_compile else update

    def step(x: Any, y: Any) -> tf.Tensor:
        x, y, mixture = augmented_pair(augment, x, y)
        return compiled(x, y, mixture)

    return step


def sample_weights(class_weight: np.ndarray, y: Any, indices: bool = False) -> tf.Tensor:
    """Return each example's class weight in the loss, float32 (examples,), or each token's, (examples, tokens).

    Args:
        indices: whether targets are class indices whatever their shape, not one-hot.
    """
    return tf.gather(tf.constant(class_weight, tf.float32), _class_index(y, indices))


class _Chunk:
    """How many steps the compiled loop runs at a time."""

    def __init__(self, fixed: int | None) -> None:
        self.fixed, self.steps, self.calls = fixed, fixed or 1, 0

    def took(self, steps: int, seconds: float) -> None:
        self.calls += 1
        if self.fixed is None and self.calls > 1:  # the first call traces
            wanted = int(SECONDS_A_CALL / max(seconds / max(steps, 1), 1e-6))
            self.steps = max(1, min(wanted, 4 * self.steps if self.calls < 8 else wanted))


def _class_index(y: tf.Tensor, indices: bool) -> tf.Tensor:
    if indices and y.shape.rank is not None and y.shape.rank > 1:
        return tf.cast(tf.squeeze(y, -1) if y.shape[-1] == 1 else y, tf.int64)
    one_hot = y.shape.rank is not None and y.shape.rank > 1 and y.shape[-1] != 1
    return tf.argmax(y, axis=-1) if one_hot else tf.cast(tf.reshape(y, [-1]), tf.int64)


def _hooks_batches(callbacks: Sequence[Any]) -> bool:
    """Return whether a callback must see every batch."""
    default = keras.callbacks.Callback
    for callback in callbacks:
        by_epoch = "epoch" in (getattr(callback, "save_freq", None), getattr(callback, "update_freq", None))
        if by_epoch or isinstance(callback, EPOCH_ONLY):
            continue
        for hook in ("on_train_batch_begin", "on_train_batch_end", "on_batch_begin", "on_batch_end"):
            if getattr(type(callback), hook) is not getattr(default, hook):
                return True
    return False
