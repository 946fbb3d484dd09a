"""Long short-term memory over a sequence."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from dltool.ops.recurrence.loop import product, project, recur


def fused_lstm(
    x: tf.Tensor,
    kernel: tf.Tensor,
    recurrent_kernel: tf.Tensor,
    bias: tf.Tensor | None,
    h: tf.Tensor,
    c: tf.Tensor,
    mask: tf.Tensor | None = None,
    sequence: bool = True,
) -> tuple[tf.Tensor | None, tf.Tensor, tf.Tensor]:
    """Compute c_t = f c_t-1 + i g, h_t = o tanh(c_t), with i, f, o = sigmoid and g = tanh of W x_t + U h_t-1 + b.

    Args:
        x: (batch, time, features), time at least 1.
        kernel: W, (features, 4 units), columns in Keras's order i, f, g, o; `recurrent_kernel` U alike.
        h, c: before the first time, (batch, units).
        mask: bool (time, batch, 1); where false, h and c are carried through.
        sequence: whether h of all times is wanted.
    Returns:
        h of all times, (time, batch, units), or None; the last h; the last c.
    Reference: Hochreiter & Schmidhuber, 1997; Gers et al., 2000; lecture slide 136.
    """
    outputs, (h, c) = recur(_Lstm(), project(x, kernel, bias), (h, c), (recurrent_kernel,), mask, sequence)
    return outputs, h, c


class _Lstm:
    operands: tuple[int, ...] = (0,)
    shared = True

    def widths(self, units: int) -> tuple[int, ...]:
        return (units,) * 7

    def step(self, x: Any, state: tuple, weights: tuple) -> tuple[tuple, tuple]:
        h, c = state
        i, f, g, o = tf.split(x + product(h, weights[0]), 4, axis=-1)
        i, f, g, o = tf.sigmoid(i), tf.sigmoid(f), tf.tanh(g), tf.sigmoid(o)
        after = f * c + i * g
        tanh_c = tf.tanh(after)
        return (o * tanh_c, after), (h, c, i, f, g, o, tanh_c)

    def back(self, kept: tuple, gradient: tuple, transposed: tuple) -> tuple[Any, Any, tuple]:
        _, c, i, f, g, o, tanh_c = kept
        dh, dc = gradient
        dc += _through_tanh(tanh_c, dh * o)
        parts = [
            _through_sigmoid(i, dc * g),
            _through_sigmoid(f, dc * c),
            _through_tanh(g, dc * i),
            _through_sigmoid(o, dh * tanh_c),
        ]
        sums = tf.concat([tf.cast(one, transposed[0].dtype) for one in parts], axis=-1)
        return sums, sums, (product(sums, transposed[0], dh.dtype), dc * f)

    def weight_gradients(self, operands: list, inputs: Any, sums: Any) -> tuple:
        return (tf.matmul(operands[0], sums, transpose_a=True),)


def _through_tanh(y: tf.Tensor, dy: tf.Tensor) -> tf.Tensor:
    return tf.raw_ops.TanhGrad(y=y, dy=dy)  # dy (1 - y^2)


def _through_sigmoid(y: tf.Tensor, dy: tf.Tensor) -> tf.Tensor:
    return tf.raw_ops.SigmoidGrad(y=y, dy=dy)  # dy y (1 - y)
