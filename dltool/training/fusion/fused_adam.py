"""Adam's update in one kernel a variable, where Keras takes some ten elementwise ones."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from dltool.graph import keras_internals


def fuse(optimizer: Any) -> bool:
    """Let an `Adam` update its variables through TensorFlow's fused kernel.

    The same update, equal to rounding, with m, v the optimizer's own slots and t counted from 1:
    m += (g - m)(1 - beta_1); v += (g^2 - v)(1 - beta_2);
    w -= learning_rate sqrt(1 - beta_2^t) / (1 - beta_1^t) m / (sqrt(v) + epsilon).

    Args:
        optimizer: a built optimizer, or one inside a `LossScaleOptimizer`.
    Returns:
        Whether it was done: only for `Adam` itself, without AMSGrad, on float32 variables.
    Reference: Kingma & Ba, 2015, algorithm 1 with the rearrangement of section 2; lecture slide 79.
    """
    adam = keras_internals.inner_optimizer(optimizer)
    floats = all(variable.dtype == "float32" for variable in adam.variables if "momentum" in variable.path)
    if type(adam) is not keras.optimizers.Adam or adam.amsgrad or not floats:
        return False
    elementwise = adam.update_step

    def update_step(gradient: Any, variable: Any, learning_rate: Any) -> None:
        if isinstance(gradient, tf.IndexedSlices):
            elementwise(gradient, variable, learning_rate)
            return
        m, v = keras_internals.moments(adam, variable)
        step = tf.cast(adam.iterations + 1, tf.float32)
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=m.handle,
            v=v.handle,
            beta1_power=tf.pow(tf.cast(adam.beta_1, tf.float32), step),
            beta2_power=tf.pow(tf.cast(adam.beta_2, tf.float32), step),
            lr=tf.cast(learning_rate, tf.float32),
            beta1=tf.cast(adam.beta_1, tf.float32),  # may follow a schedule
            beta2=adam.beta_2,
            epsilon=adam.epsilon,
            grad=tf.cast(gradient, tf.float32),
        )

    adam.update_step = update_step
    return True
