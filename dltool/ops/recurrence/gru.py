"""Gated recurrent units over a sequence."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from dltool.ops.recurrence.loop import Cell, column_sums, product, project, recur


def fused_gru(
    x: tf.Tensor,
    kernel: tf.Tensor,
    recurrent_kernel: tf.Tensor,
    bias: tf.Tensor | None,
    h: tf.Tensor,
    mask: tf.Tensor | None = None,
    sequence: bool = True,
    reset_after: bool = True,
) -> tuple[tf.Tensor | None, tf.Tensor]:
    """Compute h_t = z h_t-1 + (1 - z) tanh(W_h x_t + b_h + s), with z, r = sigmoid(W x_t + U h_t-1 + b).

    s = r (U_h h_t-1 + b'_h) with `reset_after`, as cuDNN has it, else s = U_h (r h_t-1), as in the first paper.

    Args:
        x: (batch, time, features), time at least 1.
        kernel: W, (features, 3 units), columns in Keras's order z, r, h; `recurrent_kernel` U alike.
        bias: (2, 3 units), b and b', with `reset_after`; else (3 units,).
        h: before the first time, (batch, units).
        mask: bool (time, batch, 1); where false, h is carried through.
        sequence: whether h of all times is wanted.
    Returns:
        h of all times, (time, batch, units), or None; the last h.
    Reference: Cho et al., 2014, arXiv:1406.1078, eq. 5-8.
    """
    units = h.shape[-1]
    cell: Cell = _ResetAfter()
    weights = [recurrent_kernel]
    if not reset_after:
        cell, weights = _ResetBefore(), [recurrent_kernel[:, : 2 * units], recurrent_kernel[:, 2 * units :]]
    elif bias is not None:
        bias, recurrent_bias = tf.unstack(bias)
        weights.append(recurrent_bias)
    outputs, (h,) = recur(cell, project(x, kernel, bias), (h,), weights, mask, sequence)
    return outputs, h


class _ResetAfter:
    operands: tuple[int, ...] = (0,)
    shared = False

    def widths(self, units: int) -> tuple[int, ...]:
        return (units,) * 5

    def step(self, x: Any, state: tuple, weights: tuple) -> tuple[tuple, tuple]:
        (h,) = state
        sums = product(h, weights[0])
        if len(weights) == 2:
            sums = tf.nn.bias_add(sums, tf.cast(weights[1], sums.dtype))
        z, r, both = tf.split(x + sums, 3, axis=-1)  # both = x_h + u_h; x_h + r u_h = both + (r - 1) u_h
        z, r, u_h = tf.sigmoid(z), tf.sigmoid(r), sums[:, 2 * h.shape[-1] :]
        candidate = tf.tanh(both + (r - 1) * u_h)
        return (candidate + z * (h - candidate),), (h, z, r, u_h, candidate)

    def back(self, kept: tuple, gradient: tuple, transposed: tuple) -> tuple[Any, Any, tuple]:
        h, z, r, u_h, candidate = kept
        (dh,) = gradient
        dtype = transposed[0].dtype
        carried = dh * z
        d_h = tf.raw_ops.TanhGrad(y=candidate, dy=dh - carried)
        d_z = tf.cast(tf.raw_ops.SigmoidGrad(y=z, dy=dh * (h - candidate)), dtype)
        d_r = tf.cast(tf.raw_ops.SigmoidGrad(y=r, dy=d_h * u_h), dtype)
        sums = tf.concat([d_z, d_r, tf.cast(d_h * r, dtype)], axis=-1)
        dx = tf.concat([d_z, d_r, tf.cast(d_h, dtype)], axis=-1)
        return dx, sums, (carried + product(sums, transposed[0], dh.dtype),)

    def weight_gradients(self, operands: list, inputs: Any, sums: Any) -> tuple:
        return tf.matmul(operands[0], sums, transpose_a=True), column_sums(sums)


class _ResetBefore:
    operands: tuple[int, ...] = (0, 1)
    shared = True

    def widths(self, units: int) -> tuple[int, ...]:
        return units, units, 2 * units, units

    def step(self, x: Any, state: tuple, weights: tuple) -> tuple[tuple, tuple]:
        (h,) = state
        units = h.shape[-1]
        x_gates, x_h = tf.split(x, [2 * units, units], axis=-1)
        gates = tf.sigmoid(x_gates + product(h, weights[0]))
        z, r = tf.split(gates, 2, axis=-1)
        reset = r * h
        candidate = tf.tanh(x_h + product(reset, weights[1]))
        return (candidate + z * (h - candidate),), (h, reset, gates, candidate)

    def back(self, kept: tuple, gradient: tuple, transposed: tuple) -> tuple[Any, Any, tuple]:
        h, _, gates, candidate = kept
        (dh,) = gradient
        z, r = tf.split(gates, 2, axis=-1)
        carried = dh * z
        d_h = tf.raw_ops.TanhGrad(y=candidate, dy=dh - carried)
        d_reset = product(d_h, transposed[1])
        d_gates = tf.raw_ops.SigmoidGrad(y=gates, dy=tf.concat([dh * (h - candidate), d_reset * h], axis=-1))
        sums = tf.concat([d_gates, d_h], axis=-1)
        return sums, sums, (carried + d_reset * r + product(d_gates, transposed[0]),)

    def weight_gradients(self, operands: list, inputs: Any, sums: Any) -> tuple:
        h, reset = operands
        units = h.shape[-1]
        of_gates = tf.matmul(h, sums[:, : 2 * units], transpose_a=True)
        return of_gates, tf.matmul(reset, sums[:, 2 * units :], transpose_a=True)
