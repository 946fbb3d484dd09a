"""A recurrent cell over time, forwards and backwards, with only the products of the state inside the loop."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import tensorflow as tf


class Cell(Protocol):
    """One time step of a recurrent layer, and the same step backwards.

    `state` has h first, all (batch, units); `weights` are those that meet the state; `x` is W x_t + b.
    """

    operands: tuple[int, ...]  # which of `kept` a recurrent weight was multiplied with
    shared: bool  # whether dL/d(recurrent sum) is dL/dx

    def widths(self, units: int) -> tuple[int, ...]:
        """Return the number of columns of each of `kept`."""

    def step(self, x: Any, state: tuple, weights: tuple) -> tuple[tuple, tuple]:
        """Return the next state, and `kept`, which the backward step needs."""

    def back(self, kept: tuple, gradient: tuple, transposed: tuple) -> tuple[Any, Any, tuple]:
        """Return dL/dx, dL/d(recurrent sum) and dL/d(state), from dL/d(next state).

        Args:
            transposed: the weights, each transposed once before the loop.
        """

    def weight_gradients(self, operands: list, inputs: Any, sums: Any) -> tuple:
        """Return dL/d(weights), and of a bias even if absent, from all times at once.

        The arguments are (time * batch, columns) each.
        """


def recur(
    cell: Cell, x: tf.Tensor, state: Sequence[Any], weights: Sequence[Any], mask: Any = None, sequence: bool = True
) -> tuple[tf.Tensor | None, tuple[tf.Tensor, ...]]:
    """Run state_t = cell(x_t, state_t-1), with gradients from one backward loop and one large product per weight.

    Plain differentiation of a loop adds up a weight's gradient from a small product at every time step. With half
    precision, the products, x, and the operands of the large products are in half precision; the state and the gates
    are float32.

    Args:
        x: W x_t + b of all times, (time, batch, columns), time at least 1.
        state: before the first time, (batch, units) each.
        mask: bool (time, batch, 1); if false, the state is carried through.
        sequence: whether h of all times is wanted.
    Returns:
        h of all times, (time, batch, units), or None; and the last state.
    Limits: gradients of gradients do not exist; a variable must be among the arguments.
    """
    width, dtype = len(state), x.dtype
    mask = None if mask is None else tf.convert_to_tensor(mask)
    if dtype in (tf.bfloat16, tf.float16):
        state = [tf.cast(one, tf.float32) for one in state]

    @tf.custom_gradient
    def run(x: tf.Tensor, *rest: tf.Tensor) -> Any:
        first, fixed = rest[:width], rest[width:]
        arrays, last = _forwards(cell, x, first, fixed, mask, sequence)
        kept = arrays[: len(arrays) - sequence]

        def gradient(*given: Any) -> tuple[tf.Tensor, ...]:
            given = tuple(tf.convert_to_tensor(one) for one in given)
            of_h = given[0] if sequence else None
            dx, sums, d_first = _backwards(cell, kept, fixed, mask, x, of_h, given[sequence:])
            operands = [tf.cast(_rows(kept[index].stack()), dtype) for index in cell.operands]
            of_weights = cell.weight_gradients(operands, _rows(dx), _rows(sums))
            return (dx, *d_first, *of_weights[: len(fixed)])

        h = [tf.ensure_shape(arrays[-1].stack(), [x.shape[0], *last[0].shape])] if sequence else []
        return (*h, *last), gradient

    found = [tf.cast(one, dtype) for one in run(x, *state, *weights)]
    return (found[0] if sequence else None), tuple(found[sequence:])


def product(values: tf.Tensor, weight: tf.Tensor, dtype: tf.DType | None = None) -> tf.Tensor:
    """Return values @ weight, multiplied in the weight's precision.

    The result has `dtype`, by default that of the values.
    """
    return tf.cast(tf.matmul(tf.cast(values, weight.dtype), weight), dtype or values.dtype)


def project(x: tf.Tensor, kernel: tf.Tensor, bias: tf.Tensor | None) -> tf.Tensor:
    """W x_t + b of all times in one product: (batch, time, features) -> (time, batch, columns)."""
    x = tf.transpose(x, [1, 0, 2])  # before the product, after which there is more to move
    shape = tf.shape(x)
    rows = tf.matmul(_rows(x), kernel)
    if bias is not None:
        rows = _biased(rows, bias)
    return tf.ensure_shape(tf.reshape(rows, [shape[0], shape[1], kernel.shape[1]]), [*x.shape[:2], kernel.shape[1]])


@tf.custom_gradient
def _biased(rows: tf.Tensor, bias: tf.Tensor) -> Any:
    return tf.nn.bias_add(rows, bias), lambda given: (given, column_sums(given))


def column_sums(rows: tf.Tensor) -> tf.Tensor:
    """Sums over thousands of rows: a product with ones, which bfloat16 adds up in float32.

    The gradient of tf.nn.bias_add adds up in bfloat16 itself.
    """
    return tf.matmul(tf.ones([1, tf.shape(rows)[0]], rows.dtype), rows)[0]


def _forwards(
    cell: Cell, x: tf.Tensor, first: tuple, weights: tuple, mask: Any, sequence: bool
) -> tuple[list[tf.TensorArray], tuple]:
    """Return the kept values of each time, then h if wanted, and the last state."""
    time, units, dtype = tf.shape(x)[0], first[0].shape[-1], first[0].dtype
    columns = [*cell.widths(units), *([units] if sequence else [])]

    def body(t: tf.Tensor, state: tuple, arrays: list) -> tuple:
        x_t = tf.cast(x[t], dtype)  # x[t] shares x's memory, where a TensorArray would copy it
        after, kept = cell.step(x_t, state, weights)
        if mask is not None:
            after = tuple(tf.where(mask[t], new, old) for new, old in zip(after, state, strict=True))
        _keep_shapes(after, state)
        now = (*kept, after[0]) if sequence else kept
        return t + 1, after, [array.write(t, one) for array, one in zip(arrays, now, strict=True)]

    arrays = _arrays(x, columns, dtype)
    _, last, arrays = tf.while_loop(lambda t, *_: t < time, body, (tf.constant(0), tuple(first), arrays))
    return list(arrays), tuple(last)


def _backwards(
    cell: Cell, kept: list, weights: tuple, mask: Any, x: tf.Tensor, of_h: Any, of_last: tuple
) -> tuple[tf.Tensor, tf.Tensor, tuple]:
    """Return dL/dx and dL/d(recurrent sum) of all times, (time, batch, columns), and dL/d(first state)."""
    transposed = tuple(tf.transpose(weight) for weight in weights)

    def body(t: tf.Tensor, gradient: tuple, arrays: list) -> tuple:
        due = gradient if of_h is None else (gradient[0] + of_h[t], *gradient[1:])
        taken = due
        if mask is not None:
            taken = tuple(tf.where(mask[t], one, tf.zeros_like(one)) for one in due)
        dx, sums, before = cell.back(tuple(array.read(t) for array in kept), taken, transposed)
        if mask is not None:
            carried = (tf.where(mask[t], tf.zeros_like(one), one) for one in due)
            before = tuple(one + other for one, other in zip(before, carried, strict=True))
        _keep_shapes(before, gradient)
        written = (dx,) if cell.shared else (dx, sums)
        now = [tf.cast(one, x.dtype) for one in written]  # read by the large products alone, and cheaper to store
        return t - 1, before, [array.write(t, one) for array, one in zip(arrays, now, strict=True)]

    arrays = _arrays(x, [x.shape[-1]] * (1 if cell.shared else 2), x.dtype)
    start = tf.shape(x)[0] - 1
    _, of_first, arrays = tf.while_loop(lambda t, *_: t >= 0, body, (start, of_last, arrays))
    stacks = [tf.ensure_shape(array.stack(), x.shape) for array in arrays]
    return stacks[0], stacks[-1], tuple(of_first)


def _arrays(x: tf.Tensor, columns: list[int], dtype: tf.DType) -> list[tf.TensorArray]:
    """Return arrays to write (batch, columns) into at each time, readable more than once."""
    time, batch = tf.shape(x)[0], x.shape[1]
    return [tf.TensorArray(dtype, size=time, element_shape=[batch, width], clear_after_read=False) for width in columns]


def _keep_shapes(after: tuple, before: tuple) -> None:
    for new, old in zip(after, before, strict=True):
        new.set_shape(old.shape)  # a loop's variables may not forget theirs


def _rows(sequence: tf.Tensor) -> tf.Tensor:
    return tf.reshape(sequence, [-1, sequence.shape[-1]])  # (time * batch, columns)
