"""Minibatch gradient descent, as `keras.Model.fit`, with an exact state to resume from."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from dltool.data.pipelines.base import Step
from dltool.data.pipelines.repeated import Repeated
from dltool.graph import recurrent_state
from dltool.training.augmentation import augmented_pair, sharing
from dltool.training.counting import count, reads_indices
from dltool.training.cudnn import compute_in_float32
from dltool.training.fusion.fusion import fuse
from dltool.training.procedures._procedure import Procedure
from dltool.training.schedule_table import WINDOW
from dltool.training.scheduled_optimizer import current_values, reach

SECONDS_A_CALL = 0.2  # how long the compiled loop runs before Python looks at signals and progress
STEPS_A_CALL = WINDOW // 2  # at most: schedules are tabulated that far
EPOCH_ONLY = (keras.callbacks.EarlyStopping, keras.callbacks.TerminateOnNaN)


class GradientDescent(Procedure):
    """Minibatch gradient descent with the model's own optimizer, loss and metrics.

    The same steps as `keras.Model.fit`, with Keras's callbacks, but with the batches gathered inside a
    compiled loop of many steps. The order of a pass over the data is a function of (seed, pass), so a state captured
    after any batch leads to the same bits as training that was never stopped. With `steps_per_epoch` an epoch goes on
    where the one before ended, and a new pass begins where the data end.

    Limits: batch hooks of callbacks that need every batch (`on_train_batch_end`) cost the loop its speed:
    it then runs one step at a time. A callback that needs only some steps is a `PeriodicCallback`.
    Reference: lecture slides 66-67 (batch, minibatch and stochastic gradient descent).
    """

    def _renew(self) -> None:
        """Rebuild step and evaluation for the model's present optimizer and trainable layers."""
        class_weight, jit_compile, _ = self._execution
        if not jit_compile:  # XLA fuses by itself
            fuse(self.model)
        self._step = training_step(self.model, self.augment, class_weight, jit_compile)
        self.evaluation.renew()

    def _start_steps(self) -> None:
        steps_per_execution = self._execution[2]
        self._chunk = _Chunk(steps_per_execution or (1 if _hooks_batches(self.callbacks) else None))
        self._batches = Repeated(self._train, self._seed)

    def _rates(self) -> dict[str, float]:
        return current_values(self.model.optimizer)

    def _advance(self, at_most: int) -> float:
        first = self.position.epoch * self.steps + self.position.step
        if self._batches.begins(first):
            recurrent_state.reset(self.model)
        began = time.perf_counter()
        steps = min(self._chunk.steps, at_most, STEPS_A_CALL, self.steps - self.position.step)
        reach(self.model.optimizer, steps)
        done, value = self._batches.advance(self._step, first, steps)
        self._count(done)
        self._chunk.took(done, time.perf_counter() - began)
        return value


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
