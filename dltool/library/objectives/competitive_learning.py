"""Competitive learning: units win inputs, and the winner's prototype moves towards what it has won."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from dltool.data.arguments import real
from dltool.library.layers.rbf import RBF
from dltool.library.objectives._base import Objective

MEMORY = 20  # inputs a unit, over which shares of wins and the quantisation error are averaged


class CompetitiveLearning(Objective):
    """Winner-take-all units: of the centres of an RBF layer the winner alone moves, towards the inputs it has won.

        winner of x: j = argmin over j of ||x - c_j||^2 + conscience e (n p_j - 1)
        c_j <- c_j + rate mean over the inputs x it has won in the batch of (x - c_j)

    n is the number of units, p_j the share of inputs that unit j has won lately, e the quantisation error lately, the
    mean of ||x - c||^2 with the nearest centre c. With a batch of one input and SGD this is Kohonen's rule. A unit's
    conscience makes it harder to win for one that has won more than its share, so that no unit stays without inputs.
    Figures: `quantisation`, and `units_in_use`, exp of the entropy of p: n if all units win equally often.

    Args:
        conscience: factor of a unit's handicap, >= 0; 0 for plain competition. Defaults to 10.
    Input shape: (batch, features).
    Raises:
        ValueError: an argument is wrong, or the layer is no RBF.
    Limits: for the optimizer SGD without momentum, at rates of at most 1 that fall (LinearDecay): others do not follow
        this rule. A conscience leads centres to equal shares, not to the least quantisation error: let a stage with
        conscience 0 follow, which ends near k-means. Without any, two centres may share a cloud for good while
        another has none. Begin on samples (`centers: random`). Widths stay as they were.
    Reference: Rumelhart & Zipser, 1985, Feature discovery by competitive learning; Kohonen, 1990, The self-organizing
        map (learning vector quantisation); DeSieno, 1988, Adding a conscience to competitive learning; Maclin &
        Shavlik, 1995, Using competitive learning to initialize neural networks; lecture slide 86.
    """

    FIGURES = ("quantisation", "units_in_use")

    def __init__(self, conscience: float = 10.0) -> None:
        self.conscience = real("CompetitiveLearning", "conscience", conscience, 0)

    def build(self, layer: Any, input_shape: Sequence[int | None]) -> None:
        if not isinstance(layer, RBF):
            raise ValueError(f"CompetitiveLearning trains RBF layers. '{layer.name}' is a {type(layer).__name__}.")
        super().build(layer, input_shape)
        self.trainable = [layer.centers]
        units = int(layer.centers.shape[0])
        self.shares = self.add_variable(
            (units,), keras.initializers.Constant(1 / units), trainable=False, name="shares"
        )
        self.error = self.add_variable((), "zeros", trainable=False, name="error")

    def gradients(self, inputs: tf.Tensor) -> tuple[dict[str, tf.Tensor], list[Any]]:
        x, centers = tf.cast(inputs, tf.float32), tf.cast(self.layer.centers.value, tf.float32)
        units, batch = int(self.layer.centers.shape[0]), tf.cast(tf.shape(inputs)[0], tf.float32)
        squares = tf.reduce_sum(tf.square(centers), -1) - 2 * x @ tf.transpose(
            centers
        )  # without ||x||^2, which is all's
        distances = squares + tf.reduce_sum(tf.square(x), -1, keepdims=True)  # (batch, units)
        error = tf.reduce_mean(tf.maximum(tf.reduce_min(distances, -1), 0.0))
        handicaps = self.conscience * self.error * (units * self.shares - 1.0)  # (units,)
        won = tf.one_hot(tf.argmin(squares + handicaps, -1), units)  # (batch, units)
        wins = tf.reduce_sum(won, 0)
        means = tf.transpose(won) @ x / tf.maximum(wins, 1.0)[:, None]  # (units, features)
        gradient = tf.where(wins[:, None] > 0, centers - means, tf.zeros_like(centers))
        new = batch / (batch + MEMORY * units)
        self.shares.assign((1 - new) * self.shares + new * wins / batch)
        self.error.assign(tf.where(self.error == 0, error, (1 - new) * self.error + new * error))
        entropy = -tf.reduce_sum(tf.math.xlogy(self.shares.value, self.shares.value))
        return {"quantisation": error, "units_in_use": tf.exp(entropy)}, [tf.cast(gradient, self.layer.centers.dtype)]
