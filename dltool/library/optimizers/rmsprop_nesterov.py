"""RMSprop whose momentum looks ahead, as Nesterov's does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from dltool.data import arguments
from dltool.graph import keras_internals


@keras.saving.register_keras_serializable("dltool")
class RMSpropNesterov(keras.optimizers.Optimizer):
    """RMSprop with Nesterov momentum: gradients are taken where the momentum will carry the weights.

        g = gradient at (w + momentum * v)
        r = rho * r + (1 - rho) * g^2
        v = momentum * v - learning_rate * g / (epsilon + sqrt(r))
        w = w + v

    A model holds the point z = w + momentum * v at which gradients are taken, as Keras's SGD does with
    `nesterov=True`. In z the last line reads z = z + momentum * v - learning_rate * g / (epsilon + sqrt(r)). With
    `momentum` 0 this is RMSprop as the lecture writes it: epsilon stands outside the root, in Keras's RMSprop inside.

    Args:
        learning_rate: a float >= 0, or a schedule. Defaults to 0.001.
        rho: decay of the mean of squared gradients per step, in [0, 1). Defaults to 0.9.
        momentum: share of the velocity that is kept per step, in [0, 1). Defaults to 0.9.
        epsilon: added to the root of the mean squared gradient, in units of the gradient, >= 0. Defaults to 1e-7.
        **kwargs: arguments of every Keras optimizer: `weight_decay`, `clipnorm`, `use_ema`, ...
    Raises:
        ValueError: if `rho`, `momentum` or `epsilon` is out of its range.
    Limits: r begins at 0 and is not corrected for it, so that the first step is 1 / sqrt(1 - rho) times the learning
        rate in each weight, and momentum makes later ones up to 1 / (1 - momentum) times as long. Take a smaller
        learning rate than for Adam.
    Reference: Goodfellow, Bengio & Courville, 2016, Deep Learning, algorithm 8.6; Sutskever, 2013, PhD thesis, section
        7.2; lecture slides 6, 72 and 78.
    """

    def __init__(
        self,
        learning_rate: Any = 0.001,
        rho: float = 0.9,
        momentum: float = 0.9,
        epsilon: float = 1e-7,
        **kwargs: Any,
    ) -> None:
        super().__init__(learning_rate=learning_rate, **kwargs)
        self.rho = arguments.fraction("RMSpropNesterov", "rho", rho)
        self.momentum = arguments.fraction("RMSpropNesterov", "momentum", momentum)
        self.epsilon = arguments.real("RMSpropNesterov", "epsilon", epsilon, 0.0)

    def build(self, variables: Sequence[Any]) -> None:
        if self.built:
            return
        super().build(variables)
        self._squares = self.add_optimizer_variables(variables, "mean_square")
        self._velocities = self.add_optimizer_variables(variables, "velocity")

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        index = keras_internals.slot_index(self, variable)
        square, velocity = self._squares[index], self._velocities[index]
        gradient = ops.cast(gradient, variable.dtype)
        momentum = ops.cast(self.momentum, variable.dtype)  # may follow a schedule
        self.assign(square, ops.add(ops.multiply(square, self.rho), ops.multiply(ops.square(gradient), 1 - self.rho)))
        scaled = ops.divide(
            ops.multiply(gradient, ops.cast(learning_rate, variable.dtype)), ops.add(ops.sqrt(square), self.epsilon)
        )
        self.assign(velocity, ops.subtract(ops.multiply(velocity, momentum), scaled))
        self.assign_add(variable, ops.subtract(ops.multiply(velocity, momentum), scaled))

    def get_config(self) -> dict[str, Any]:
        own = {"rho": self.rho, "momentum": self.momentum, "epsilon": self.epsilon}
        return {**super().get_config(), **own}
