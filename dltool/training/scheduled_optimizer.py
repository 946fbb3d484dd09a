"""An optimizer whose learning rate, momentum or weight decay follows schedules."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from dltool.graph import keras_internals
from dltool.library.schedules._base import Schedule
from dltool.library.schedules._ranges import BOUNDS
from dltool.training.schedule_table import ScheduleTable


def make_optimizer(optimizer_class: Callable[..., Any], arguments: Mapping[str, Any], steps: int) -> Any:
    """Return an optimizer whose arguments may be schedules.

    The learning rate becomes one Keras `LearningRateSchedule` over a table. Any other argument stays an attribute that
    holds a number, its schedule's peak; only while a step is computed is it the value of that step. What Keras saves
    is therefore an ordinary optimizer: Keras's own schedule where it has the same, otherwise the peak.

    Args:
        optimizer_class: a Keras optimizer.
        arguments: its keyword arguments; those in `ranges.BOUNDS` may be a `Schedule`.
        steps: steps of the whole training, int > 0.
    Raises:
        ValueError: a schedule leaves its argument's range, or stands for an argument that can't be scheduled.
    Limits: with gradient accumulation a step is one batch, as for Keras's own schedules.
    """
    tables = {name: _table(name, value, steps) for name, value in arguments.items() if isinstance(value, Schedule)}
    if not tables:
        return optimizer_class(**arguments)
    numbers = {name: table.peak for name, table in tables.items()}
    if "learning_rate" in tables:
        numbers["learning_rate"] = tables["learning_rate"]
    optimizer = optimizer_class(**{**arguments, **numbers})
    optimizer.schedules = tables
    if "learning_rate" in tables:
        _save_as_keras(optimizer, tables["learning_rate"])
    others = {name: table for name, table in tables.items() if name != "learning_rate"}
    if others:
        _apply_with(optimizer, others)
    return optimizer


def schedules_of(optimizer: Any) -> dict[str, ScheduleTable]:
    """Argument -> table of what is scheduled in an optimizer, which may be inside a `LossScaleOptimizer`."""
    return getattr(keras_internals.inner_optimizer(optimizer), "schedules", {})


def reach(optimizer: Any, steps: int) -> None:
    """Prepare for the next `steps` steps, at most `schedule_table.WINDOW` - 2."""
    tables = schedules_of(optimizer)
    if tables:
        done = int(steps_of(optimizer))
        for table in tables.values():
            table.reach(max(done - 1, 0), done + steps)


def current_values(optimizer: Any) -> dict[str, float]:
    """Return the values that the last step used: learning_rate, and other scheduled ones."""
    inner = keras_internals.inner_optimizer(optimizer)
    step = max(int(steps_of(inner)) - 1, 0)
    values = {name: table.at(step) for name, table in schedules_of(optimizer).items()}
    if "learning_rate" in values:
        return {"learning_rate": values.pop("learning_rate"), **values}
    schedule = keras_internals.learning_rate(inner)
    if isinstance(schedule, keras.optimizers.schedules.LearningRateSchedule):
        return {"learning_rate": float(schedule(step)), **values}
    return {"learning_rate": float(inner.learning_rate), **values}


def steps_of(optimizer: Any) -> Any:
    """Return the variable by which Keras reads a learning rate. It counts batches; `iterations` counts updates."""
    return keras_internals.batch_counter(optimizer)


def _table(name: str, schedule: Schedule, steps: int) -> ScheduleTable:
    if name not in BOUNDS:
        raise ValueError(f"'{name}' can't follow a schedule; {', '.join(BOUNDS)} can. Give a number.")
    return ScheduleTable(schedule, steps, name)


def _save_as_keras(optimizer: Any, table: ScheduleTable) -> None:
    """Let the optimizer's config be that of one that Keras can make by itself."""
    config_of = optimizer.get_config

    def get_config() -> dict[str, Any]:
        held = keras_internals.learning_rate(optimizer)
        keras_internals.set_learning_rate(optimizer, None)
        try:
            config = config_of()
        finally:
            keras_internals.set_learning_rate(optimizer, held)
        rate = table.keras_rate()
        is_number = isinstance(rate, float)
        return {**config, "learning_rate": rate if is_number else keras.optimizers.schedules.serialize(rate)}

    optimizer.get_config = get_config


def save_with_rate(optimizer: Any) -> None:
    """Let an optimizer also save the variable of a learning rate that its config has as a number.

    Without it Keras would find one variable too few, and load none.

    Args:
        optimizer: as the model is compiled with, which may have put it into a `LossScaleOptimizer`.
    """
    table = schedules_of(optimizer).get("learning_rate")
    if table is None or not isinstance(table.keras_rate(), float):
        return
    inner = keras_internals.inner_optimizer(optimizer)

    def save_own_variables(store: Any) -> None:
        arrays: list[Any] = []
        for variable in optimizer.variables:
            arrays.append(variable.numpy())
            if variable is steps_of(inner):  # which the rate follows in Keras's order
                arrays.append(np.float32(table.peak))
        for index, array in enumerate(arrays):
            store[str(index)] = array

    optimizer.save_own_variables = save_own_variables
    if inner is not optimizer:
        save_with_rate(inner)


def _apply_with(optimizer: Any, tables: Mapping[str, ScheduleTable]) -> None:
    """Let `apply` see the scheduled arguments of the present step."""
    apply = optimizer.apply

    def scheduled(gradients: Any, trainable_variables: Any = None) -> Any:
        held = {name: getattr(optimizer, name) for name in tables}
        if not optimizer.built:  # slots are made by the numbers
            optimizer.build(trainable_variables)
        for name, table in tables.items():
            setattr(optimizer, name, _Now(table(steps_of(optimizer)), held[name]))
        try:
            return apply(gradients, trainable_variables)
        finally:
            for name, number in held.items():
                setattr(optimizer, name, number)

    optimizer.apply = scheduled


class _Now:
    """An argument at the present step: a tensor in arithmetic, its peak in the comparisons by which Keras asks
    whether it is used at all (`if self.momentum != 0`).
    """

    def __init__(self, tensor: tf.Tensor, peak: float) -> None:
        self.tensor, self.peak = tensor, peak

    def __tf_tensor__(self, dtype: Any = None, name: str | None = None) -> tf.Tensor:
        return self.tensor if dtype is None else tf.cast(self.tensor, dtype)

    def __eq__(self, other: object) -> bool:
        return self.peak == other

    __hash__ = None  # type: ignore[assignment]

    def __gt__(self, other: float) -> bool:
        return self.peak > other

    def __lt__(self, other: float) -> bool:
        return self.peak < other

    def __add__(self, other: Any) -> Any:
        return self.tensor + other

    def __radd__(self, other: Any) -> Any:
        return other + self.tensor

    def __sub__(self, other: Any) -> Any:
        return self.tensor - other

    def __rsub__(self, other: Any) -> Any:
        return other - self.tensor

    def __mul__(self, other: Any) -> Any:
        return self.tensor * other

    def __rmul__(self, other: Any) -> Any:
        return other * self.tensor
