"""The base of all procedures: the epochs around a way to fit, with an exact state to resume from."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import keras
import numpy as np

from dltool.data.pipelines.base import Pipeline
from dltool.library.callbacks._periodic import PeriodicCallback, Periods
from dltool.training.averages import Averages, without_swapping
from dltool.training.evaluation import Evaluation, figures_of
from dltool.training.training_state import (
    Position,
    TrainingState,
    as_part,
    capture_arrays,
    capture_callbacks,
    own_part,
    restore,
)


class UnfitSetting(ValueError):
    """A setting of the recipe that a procedure cannot follow.

    Args:
        setting: its keys, such as ("fit", "steps_per_epoch").
    """

    def __init__(self, setting: tuple[str, ...], message: str) -> None:
        super().__init__(message)
        self.setting = setting


class Observer(Protocol):
    """Who watches training: progress, checkpoints, interruption. It may raise to end training."""

    def begun(self, procedure: Procedure) -> None: ...

    def advanced(self, procedure: Procedure) -> None:
        """Note the progress; called at least once per epoch, before its validation."""

    def epoch_ended(self, procedure: Procedure, row: dict[str, float]) -> None: ...


ROW = "row/"  # begins the names of arrays that are a row of the history


class Procedure:
    """A way to fit a model: epochs of steps, each followed by validation, callbacks and a row of the history.

    A subclass says in `_advance` what its steps are. It stands in a file of its own; the file holds the line
    `USES_OPTIMIZER = False` if `compile.optimizer` means nothing to it.
    """

    models: Sequence[Any] = ()  # that a step calls beside the one it trains
    metrics: Sequence[keras.Metric] = ()  # of training alone, beside the model's

    def check_task(self, task: str | None) -> None:
        """Raise `ValueError` if the procedure does not train on data of a task, None where it is not known."""

    @property
    def further_models(self) -> Mapping[str, Any]:
        """Name -> model that a run keeps, in addition to the one that is trained."""
        return {}

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

    def remarks(self) -> list[str]:
        """Return what to say about the training once it has ended, one line each."""
        return []

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
            The history, one row per epoch: epoch, step, seconds, columns of the procedure, learning_rate and other
            scheduled values as the epoch's last step used them, figures, val_ figures.
        Raises:
            FloatingPointError: the loss became NaN or infinite.
            UnfitSetting: the procedure cannot follow one of the arguments.
        """
        self.steps = self._steps_of_epoch(train, steps_per_epoch)
        self._begin_fit(model, self.steps, epochs)
        self.model, self.augment, self.callbacks = model, augment, list(callbacks)
        self.epochs, self.history, self.position = epochs, [], Position()
        self.epoch_size = min(train.size, self.steps * train.batch_size)
        self.examples_per_second = 0.0  # of the epoch under way, validation left out
        self._execution = (class_weight, jit_compile, steps_per_execution)
        self._train, self._seed = train, seed if shuffle else None
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
            own = own_part(state.arrays)
            self.go_on({name: array for name, array in own.items() if not name.startswith(ROW)})
            self.position, self.history = Position(**vars(state.position)), list(state.history)
            model.stop_training = state.stopped
        if observer is not None:
            observer.begun(self)
        self._mark = time.perf_counter()
        if state is None:
            periods.call(0)
        self._start_steps()
        logs: dict[str, float] = {}
        row_before = None if state is None else _row_of(state)
        while self.position.epoch < epochs and (not model.stop_training or self.position.step == self.steps):
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
                self._check_finite(self._advance(periods.steps_left(self.position.total_steps)), "loss")
                hooks.on_train_batch_end(self.position.step - 1, self.figures())
                periods.call(self.position.total_steps)
                if observer is not None:
                    observer.advanced(self)
                if model.stop_training:
                    break
            logs, columns = row_before or (self.figures(), self._columns())
            row_before, rates = None, self._rates()
            with self.averages.in_model():
                if validation is not None and (number + 1) % validation_freq == 0 and self._is_validated():
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
                row |= {**columns, **rates, **logs}
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
            arrays=arrays | as_part({**self.own_arrays(), **self._row()}),
            callbacks=capture_callbacks(self.callbacks),
            history=list(self.history),
            stopped=bool(self.model.stop_training),
        )

    def _row(self) -> dict[str, np.ndarray]:
        """Return figures and columns of an epoch whose steps are done and whose row is not written yet."""
        if self.position.step < self.steps:
            return {}
        parts = {"figures": self.figures(), "columns": self._columns()}
        found = {f"{ROW}{part}/{name}": value for part, row in parts.items() for name, value in row.items()}
        return {name: np.asarray(value) for name, value in found.items()}

    def _steps_of_epoch(self, train: Pipeline, asked: int | None) -> int:
        """Return the steps of an epoch; `asked` is fit.steps_per_epoch."""
        return min(asked or train.steps, train.steps)

    def _begin_fit(self, model: Any, steps_per_epoch: int, epochs: int) -> None:
        """Called first of all."""

    def _is_validated(self) -> bool:
        """Return whether the epoch under way ends with validation, where `validation_freq` asks for it."""
        return True

    def _begin_epoch(self, number: int) -> None:
        """Called before an epoch, counted from 0, or the rest of one."""

    def _columns(self) -> dict[str, float]:
        """Return additional columns of a row of the history."""
        return {}

    def _rates(self) -> dict[str, float]:
        """Return learning rate and other scheduled values as the last step used them; columns of the history."""
        return {}

    def _renew(self) -> None:
        """Compile what steps need; called before the first epoch, with the model that is to be trained."""

    def _start_steps(self) -> None:
        """Called once before the first step, after a state was put back."""

    def _advance(self, at_most: int) -> float:
        """Do one to `at_most` steps of the epoch under way, and count them by `_count`.

        Returns:
            The loss after them, which ends training if it is not finite.
        """
        raise NotImplementedError

    def _count(self, steps: int) -> None:
        """Note that steps of the epoch under way are done, and their time."""
        position = self.position
        position.step += steps
        position.total_steps += steps
        self._tick()
        if position.epoch_seconds > 0:
            self.examples_per_second = position.step / self.steps * self.epoch_size / position.epoch_seconds

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


def _row_of(state: TrainingState) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """Return figures and columns of a state's epoch, if its session ended between the last step and the row."""
    row: dict[str, dict[str, Any]] = {"figures": {}, "columns": {}}
    for name, array in own_part(state.arrays).items():
        if name.startswith(ROW):
            part, _, column = name.removeprefix(ROW).partition("/")
            row[part][column] = array.item()
    return (row["figures"], row["columns"]) if row["figures"] else None
