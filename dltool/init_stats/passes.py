"""Passes of a model's own training step: recorded, and without a trace in the model."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import tensorflow as tf

from dltool.graph import keras_internals
from dltool.init_stats.capture import ROLES, Capture, Recorder, Signal
from dltool.training.augmentation import augmented, sharing
from dltool.training.cudnn import compute_in_float32
from dltool.training.training_state import variables


class Passes:
    """Passes forward and back through a compiled, built model in training mode, each with one update undone.

    The loss, its penalties and scale, and the update are what `keras.Model.train_step` computes; dropout draws and
    batch normalisation uses the batch, as in training.

    Args:
        model: compiled and built, its optimizer too.
        augment: a model applied to the inputs first, as in training.
        compiled: trace the pass once and run it as a graph, which pays for many passes over equal shapes.
    """

    def __init__(self, model: Any, augment: Any | None = None, compiled: bool = False) -> None:
        compute_in_float32()
        self.model, self.augment = model, augment
        self.recorder = Recorder(model)
        self.compiled = compiled and not self.recorder.is_recurrent
        self._graph = tf.function(self._run, autograph=False)
        self._traced: dict[Any, tuple[list[Signal], set[int], list[str]]] = {}

    def run(self, x: Any, y: Any, sample_weight: Any = None) -> Capture:
        """Run a pass over a batch, within `untouched`: dropout and batch normalisation are active."""
        x, mixture = augmented(self.augment, x, y)
        flat = (self._graph if self.compiled else self._run)(x, y, sample_weight, mixture)
        key = tuple(tuple(t.shape) for t in tf.nest.flatten((x, y, sample_weight)) if t is not None)
        if not self.compiled or key not in self._traced:
            self._traced[key] = (self.recorder.signals, self.recorder.opaque, list(self.recorder.unseen))
        signals, opaque, unseen = self._traced[key]
        loss, penalty, updates, slopes, gradients, values = tf.nest.map_structure(_to_numpy, flat)
        measured = []
        for signal, value, gradient in zip(signals, values, gradients, strict=True):
            one = Signal(signal.part, signal.path, function=signal.function, source=signal.source, target=signal.target)
            one.values = dict(zip(ROLES, value, strict=True))
            one.gradients = dict(zip(ROLES, gradient, strict=True))
            measured.append(one)
        slopes = [None if slope.size == 0 else slope for slope in slopes]
        weight = 1.0 if sample_weight is None else float(np.mean(sample_weight))
        return Capture(float(loss), float(penalty), measured, slopes, updates, opaque, unseen, weight)

    @contextmanager
    def untouched(self) -> Iterator[None]:
        """Put back every variable of model, optimizer, metrics and augmentation when the block ends."""
        own = list(variables(self.model, self.augment).values())
        kept = [tf.identity(variable.value) for variable in own]
        try:
            yield
        finally:
            for variable, value in zip(own, kept, strict=True):
                variable.assign(value)
            keras_internals.clear_losses(self.model)

    def _run(self, x: Any, y: Any, sample_weight: Any, mixture: Any) -> Any:
        model, recorder = self.model, self.recorder
        with tf.GradientTape() as tape:
            tape.watch([part for part in tf.nest.flatten(x) if part.dtype.is_floating])
            with recorder.recording():
                predicted = model(x, training=True)
                recorder.opaque.update(map(recorder.number, tf.nest.flatten(predicted)))
            with sharing(model, mixture, y, sample_weight):
                loss = model.compute_loss(x, y, predicted, sample_weight, training=True)
            penalty = tf.add_n([tf.cast(one, tf.float32) for one in model.losses] or [tf.constant(0.0)])
            scaled = model.optimizer.scale_loss(loss)
        weights = model.trainable_weights
        values = [[signal.values[role] for role in ROLES] for signal in recorder.signals]
        slopes, gradients = tape.gradient(scaled, (weights_values(weights), values))
        scale = tf.cast(model.optimizer.scale_loss(tf.constant(1.0)), tf.float32)
        updates = self._update(slopes)
        gradients = tf.nest.map_structure(lambda slope: _unscaled(slope, scale), gradients)
        return loss, penalty, updates, [_unscaled(slope, scale) for slope in slopes], gradients, values

    def _update(self, slopes: list[Any]) -> list[Any]:
        """Return what one update of the real optimizer adds to each weight, and undo the update."""
        optimizer, weights = self.model.optimizer, self.model.trainable_weights
        if all(slope is None for slope in slopes):
            return [tf.zeros(weight.shape) for weight in weights]
        state = [*weights, *optimizer.variables]
        kept = [tf.identity(variable.value) for variable in state]
        inner = keras_internals.inner_optimizer(optimizer)
        for _ in range(getattr(inner, "gradient_accumulation_steps", None) or 1):
            optimizer.apply(list(slopes), weights)
        after = [tf.identity(weight.value) for weight in weights]
        for variable, value in zip(state, kept, strict=True):
            variable.assign(value)
        return [tf.cast(new, tf.float32) - tf.cast(old, tf.float32) for new, old in zip(after, kept, strict=False)]


def weights_values(weights: list[Any]) -> list[Any]:
    """TensorFlow's variables under Keras's, which a tape knows."""
    return [weight.value for weight in weights]


def _unscaled(slope: Any, scale: Any) -> Any:
    if slope is None:
        return tf.zeros([0])  # stands for none, which a graph can't return
    return tf.cast(tf.convert_to_tensor(slope), tf.float32) / scale


def _to_numpy(tensor: Any) -> np.ndarray:
    return tf.cast(tensor, tf.float32).numpy() if tensor.dtype == tf.bfloat16 else tensor.numpy()
