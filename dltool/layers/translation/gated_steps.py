"""One step of a GRU and of an LSTM from what the products with input and state gave."""

from __future__ import annotations

from typing import Any

import tensorflow as tf


def gru_step(inputs: Any, recurrent: Any, state: tuple[Any, ...]) -> tuple[Any, ...]:
    """h' = z * h + (1 - z) * tanh(x_h + r * u_h), z = sigmoid(x_z + u_z), r = sigmoid(x_r + u_r).

    Args:
        inputs: x = W x_t + b, (batch, 3 units) in Keras's order z, r, h.
        recurrent: u = U h + b', alike.
        state: (h,), (batch, units).
    Limits: Keras's `reset_after=True`, as cuDNN has it; the first paper applies r before U.
    Reference: Cho et al., 2014, arXiv:1406.1078, eq. 5-8.
    """
    (h,) = state
    units = h.shape[-1]
    gates = tf.sigmoid(inputs[:, : 2 * units] + recurrent[:, : 2 * units])
    z, r = gates[:, :units], gates[:, units:]
    candidate = tf.tanh(inputs[:, 2 * units :] + r * recurrent[:, 2 * units :])
    return (candidate + z * (h - candidate),)


def lstm_step(inputs: Any, recurrent: Any, state: tuple[Any, ...]) -> tuple[Any, ...]:
    """c' = f * c + i * tanh(g), h' = o * tanh(c'), with i, f, g, o from W x_t + U h + b in Keras's order.

    Args:
        inputs: W x_t + b, (batch, 4 units).
        recurrent: U h, alike.
        state: (h, c), (batch, units) each.
    Reference: Hochreiter & Schmidhuber, 1997; Gers et al., 2000; lecture slide 136.
    """
    _, c = state
    i, f, g, o = tf.split(inputs + recurrent, 4, axis=-1)
    c = tf.sigmoid(f) * c + tf.sigmoid(i) * tf.tanh(g)
    return tf.sigmoid(o) * tf.tanh(c), c
