"""The simple recurrent net over a sequence."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from dltool.ops.recurrence.loop import product, project, recur


def fused_simple_rnn(
    x: tf.Tensor,
    kernel: tf.Tensor,
    recurrent_kernel: tf.Tensor,
    bias: tf.Tensor | None,
    h: tf.Tensor,
    mask: tf.Tensor | None = None,
    sequence: bool = True,
) -> tuple[tf.Tensor | None, tf.Tensor]:
    """Compute h_t = tanh(W x_t + U h_t-1 + b).

    Args:
        x: (batch, time, features), time at least 1.
        kernel: W, (features, units); `recurrent_kernel` U, (units, units).
        h: before the first time, (batch, units).
        mask: bool (time, batch, 1); where false, h is carried through.
        sequence: whether h of all times is wanted.
    Returns:
        h of all times, (time, batch, units), or None; the last h.
    Reference: Elman, 1990, Cognitive Science 14, 179-211; lecture slide 133.
    """
    outputs, (h,) = recur(_SimpleRnn(), project(x, kernel, bias), (h,), (recurrent_kernel,), mask, sequence)
    return outputs, h


class _SimpleRnn:
    operands: tuple[int, ...] = (0,)
    shared = True

    def widths(self, units: int) -> tuple[int, ...]:
        return units, units

    def step(self, x: Any, state: tuple, weights: tuple) -> tuple[tuple, tuple]:
        (h,) = state
        after = tf.tanh(x + product(h, weights[0]))
        return (after,), (h, after)

    def back(self, kept: tuple, gradient: tuple, transposed: tuple) -> tuple[Any, Any, tuple]:
        sums = tf.raw_ops.TanhGrad(y=kept[1], dy=gradient[0])  # dy (1 - y^2)
        return sums, sums, (product(sums, transposed[0]),)

    def weight_gradients(self, operands: list, inputs: Any, sums: Any) -> tuple:
        return (tf.matmul(operands[0], sums, transpose_a=True),)
