"""A schedule in training: its values in a table, read by the optimizer's count of steps."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from dltool.library.schedules import _ranges as ranges
from dltool.library.schedules._base import Schedule

WINDOW = 2**20  # steps that a table holds, 4 MiB: longer training moves it along


class ScheduleTable(keras.optimizers.schedules.LearningRateSchedule):
    """The values of a schedule as float32, by step.

    The table holds all steps of a training of up to `WINDOW` of them. For a longer training it holds a window, which
    the caller moves with `reach` before running steps; outside of the window values are NaN, so that a forgotten
    `reach` stops training at once.

    Args:
        schedule: the schedule.
        steps: steps of the training, int > 0, at most `ranges.MOST_STEPS`; the table also has the value after the last.
        argument: of the optimizer, a key of `ranges.BOUNDS`.
    Raises:
        ValueError: a value is out of the argument's range, or the training is longer than that.
    Limits: values are rounded to float32, as all rates of Keras are.
    """

    def __init__(self, schedule: Schedule, steps: int, argument: str = "learning_rate") -> None:
        ranges.check_length(steps)
        self.schedule, self.steps, self.argument = schedule, steps, argument
        self.size = min(steps + 1, WINDOW)
        self.peak = self._checked_peak()
        self._first = 0
        with tf.init_scope():
            self._offset = tf.Variable(0, dtype=tf.int64, trainable=False)
            self._values = tf.Variable(self._of(0), dtype=tf.float32, trainable=False)

    def __call__(self, step: Any) -> tf.Tensor:
        index = tf.cast(tf.convert_to_tensor(step), tf.int64) - self._offset
        inside = tf.logical_and(index >= 0, index < self.size)
        value = tf.gather(self._values, tf.clip_by_value(index, 0, self.size - 1))
        return tf.where(inside, value, tf.constant(np.nan, tf.float32))

    def reach(self, first: int, last: int) -> None:
        """Move the window so that it holds the steps `first` to `last`, at most `WINDOW` of them."""
        if self._first <= first and last < self._first + self.size:
            return
        self._first = first
        self._offset.assign(first)
        self._values.assign(self._of(first))

    def at(self, step: int) -> float:
        """Return the value that training uses at a step, read from the table."""
        self.reach(step, step)
        return float(self(step))

    def get_config(self) -> dict[str, Any]:
        raise NotImplementedError("a table is not saved: the optimizer's config holds Keras's own schedule or a number")

    def keras_rate(self) -> Any:
        """Return the rate for a saved model: Keras's equal schedule, otherwise the peak."""
        twin = self.schedule.as_keras()
        return self.peak if twin is None else getattr(keras.optimizers.schedules, twin[0])(**twin[1])

    def _of(self, first: int) -> np.ndarray:
        return self.schedule(np.arange(first, first + self.size)).astype(np.float32)

    def _checked_peak(self) -> float:
        """Return the largest value of the training, after checking every one."""
        peak = 0.0
        for first in range(0, self.steps, WINDOW):
            values = self.schedule(np.arange(first, min(first + WINDOW, self.steps)))
            ranges.check(self.argument, values, first)
            peak = max(peak, float(values.max()))
        return peak
