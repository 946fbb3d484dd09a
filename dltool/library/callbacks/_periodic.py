"""Callbacks that see training at regular steps, with the compiled loop at full speed between."""

from __future__ import annotations

from collections.abc import Sequence

import keras

from dltool.data.pipelines.base import Pipeline


class PeriodicCallback(keras.callbacks.Callback):
    """A Keras callback that is also called after every `every` steps of training.

    The loop of steps ends at each call, so a call costs only its own work, whereas Keras's
    batch hooks (`on_train_batch_end`) stop the loop after each step. Attributes that are plain values (numbers,
    texts, lists and dicts of them) are part of the training state: set them in `on_train_begin`, and a resumed
    training goes on with them.

    Args:
        every: steps between calls, int > 0, counted from the beginning of training.
    """

    def __init__(self, every: int) -> None:
        super().__init__()
        if isinstance(every, bool) or not isinstance(every, int) or every < 1:
            raise ValueError(f"'every' must be an int >= 1, in steps. Got {every!r}.")
        self.every = every

    def set_data(self, train: Pipeline, validation: Pipeline | None) -> None:
        """Called before training with its pipelines, as `set_model` is with its model."""

    def on_step(self, step: int) -> None:
        """Called before the first step, with 0, and whenever `step` is a multiple of `every`.

        Args:
            step: steps done since the beginning of training, those of earlier sessions included.
        """


class Periods:
    """When which periodic callbacks are due."""

    def __init__(self, callbacks: Sequence[PeriodicCallback]) -> None:
        self.callbacks = callbacks

    def offer(self, train: Pipeline, validation: Pipeline | None) -> None:
        for callback in self.callbacks:
            callback.set_data(train, validation)

    def steps_left(self, step: int) -> int:
        """Return the number of steps from `step` to the next call, at least 1."""
        return min((callback.every - step % callback.every for callback in self.callbacks), default=2**31 - 1)

    def call(self, step: int) -> None:
        for callback in self.callbacks:
            if step % callback.every == 0:
                callback.on_step(step)
