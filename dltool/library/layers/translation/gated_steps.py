"""One step of a GRU and of an LSTM from what the products with input and state gave."""

from __future__ import annotations

from typing import Any

import tensorflow as tf


def gru_step(inputs: Any, recurrent: Any, state: tuple[Any, ...]) -> tuple[Any, ...]:
    """Compute h' = z * h + (1 - z) * tanh(x_h + r * u_h), z = sigmoid(x_z + u_z), r = sigmoid(x_r + u_r).

    Args:
        inputs: x = W x_t + b, (batch, 3 units) in Keras's order z, r, h.
        recurrent: u = U h + b', alike.
        state: (h,), (batch, units).
    Limits: Keras's `reset_after=True`, as cuDNN has it; the first paper applies r before U.
    Reference: Cho et al., 2014, arXiv:1406.1078, eq. 5-8.
    """
    (h,) = state
    units = h.shape[-1]
    # split, whose gradient is a concat: a slice's is an array of zeros for each slice, and their sum
    (x_gates, x_h), (u_gates, u_h) = (tf.split(one, [2 * units, units], axis=-1) for one in (inputs, recurrent))
    z, r = tf.split(tf.sigmoid(x_gates + u_gates), 2, axis=-1)
    candidate = tf.tanh(x_h + r * u_h)
    return (candidate + z * (h - candidate),)


def lstm_step(inputs: Any, recurrent: Any, state: tuple[Any, ...]) -> tuple[Any, ...]:
    """Compute c' = f * c + i * tanh(g), h' = o * tanh(c'), with i, f, g, o from W x_t + U h + b in Keras's order.

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
