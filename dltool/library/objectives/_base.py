"""The base of all objectives: what one layer of a model learns from its own inputs, without labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf


class Objective:
    """What one layer learns from its inputs alone, in a stage of the procedure `Greedy`.

    A subclass has `build` and either `terms` (figures whose sum is minimised by gradients) or `gradients`. All tensors
    of a batch are float32 or the layer's type. It makes its variables in `build`, by `add_variable` and
    `add_generator`, so that an interrupted training goes on from them bit for bit.

    Attributes:
        FIGURES: names of the scalars of a batch, the columns of the history; each is averaged over an epoch's
            examples. Training ends when their sum is not finite.
        layer: the layer that learns, once `build` was called.
        trainable: variables that the stage's optimizer updates: the layer's, then the objective's own.
        variables: the objective's own variables, trainable or not, states of random generators among them.
    """

    FIGURES: tuple[str, ...] = ()
    layer: Any = None

    def build(self, layer: Any, input_shape: Sequence[int | None]) -> None:
        """Prepare for a built layer: keep it, and make the variables. Subclasses call this first.

        Args:
            input_shape: of the layer's inputs, with the batch axis.
        Raises:
            ValueError: the layer is none that this objective can train.
        """
        self.layer = layer
        self.trainable: list[Any] = list(layer.trainable_variables)
        self.variables: list[Any] = []

    def check(self, inputs: np.ndarray) -> None:
        """Raise ValueError if a first batch of the layer's inputs does not suit; here do nothing."""

    def terms(self, inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        """Return figures by name, scalars, whose sum is to be minimised, of a batch of the layer's inputs."""
        raise NotImplementedError

    def gradients(self, inputs: tf.Tensor) -> tuple[dict[str, tf.Tensor], list[Any]]:
        """Return the figures of a batch, scalars by the names of `FIGURES`, and a gradient for each of `trainable`.

        By default the gradients are those of the sum of `terms`. It is called in a graph, in a loop over batches.
        """
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch([variable.value for variable in self.trainable])
            figures = self.terms(inputs)
            total = tf.add_n(list(figures.values()))
        return figures, tape.gradient(total, [variable.value for variable in self.trainable])

    def decoder(self) -> tuple[Any, Any]:
        """Return kernel (units, features) and bias (features,) that lead from the layer's outputs to its inputs.

        Raises:
            ValueError: this objective has none.
        """
        raise ValueError(f"{type(self).__name__} has no decoder. Remove 'decoder'.")

    def add_variable(
        self, shape: Sequence[int], initializer: Any = "zeros", trainable: bool = True, name: str = "variable"
    ) -> Any:
        """Return a new float32 variable of the objective; a trainable one joins `trainable`."""
        made = keras.Variable(keras.initializers.get(initializer)(tuple(shape)), trainable=trainable, name=name)
        self.variables.append(made)
        if trainable:
            self.trainable.append(made)
        return made

    def add_generator(self) -> Any:
        """Return a new `keras.random.SeedGenerator`, for the `seed` of random functions of `keras.random`."""
        made = keras.random.SeedGenerator()
        self.variables.append(made.state)
        return made
