"""A loop over time whose weights get their gradients in one large product each, after the loop."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

Product = Callable[[int, tf.Tensor], tf.Tensor]
# step(inputs at t, state, constants, product) -> (state, outputs at t)
ScanStep = Callable[[tuple, tuple, tuple, Product], tuple[tuple, tuple]]


def product_scan(
    step: ScanStep,
    sequences: Sequence[tf.Tensor],
    state: Sequence[tf.Tensor],
    constants: Sequence[tf.Tensor],
    kernels: Sequence[tf.Tensor],
) -> tuple[tuple[tf.Tensor, ...], tuple[tf.Tensor, ...]]:
    """Run state_t, outputs_t = step(inputs_t, state_t-1, constants, product), with product(i, a) = a @ kernels[i].

    Plain differentiation of a loop adds up a kernel's gradient from a small product per time step. Here the gradient of
    every product's result is kept, and kernels[i] gets sum over t of a_t^T dy_t as one product: of (time * batch) rows,
    or if each sequence has its own matrix, of `time` rows per sequence.

    Args:
        step: takes each product exactly once, in the order of `kernels`.
        sequences: (time, batch, ...) each, time at least 1.
        state: (batch, ...) each.
        constants: what the step needs at every time, differentiated too.
        kernels: (rows, columns) each, or (batch, rows, columns), one per sequence; see `product_of`.
    Returns:
        The outputs, (time, batch, ...) each, and the last state.
    Limits: gradients of gradients do not exist; a variable must be among the arguments, not in `step`.
    """
    sizes = [len(sequences), len(state), len(constants), len(kernels)]
    width = len(state)

    @tf.custom_gradient
    def run(*flat: tf.Tensor) -> Any:
        inputs, first, fixed, weights = _divided([_unwatched(one) for one in flat], sizes)
        shape = tf.shape(inputs[0])
        zeros = [tf.zeros([shape[0], shape[1], tf.shape(weight)[-1]], weight.dtype) for weight in weights]
        with tf.GradientTape() as tape:
            differentiated = [*inputs, *first, *fixed, *zeros]
            tape.watch(differentiated)
            outputs, operands, last = _loop(step, inputs, zeros, first, fixed, weights)

        def gradient(*given: tf.Tensor) -> tuple[tf.Tensor, ...]:
            found = tape.gradient(
                [*last, *outputs], differentiated, list(given), unconnected_gradients=tf.UnconnectedGradients.ZERO
            )
            results = found[len(found) - len(weights) :] if weights else []
            products = [
                _gradient(weight, operand, result)
                for weight, operand, result in zip(weights, operands, results, strict=True)
            ]
            return (*found[: len(found) - len(weights)], *products)

        return (*last, *outputs), gradient

    found = run(*sequences, *state, *constants, *kernels)
    return tuple(found[width:]), tuple(found[:width])


def _unwatched(tensor: tf.Tensor) -> tf.Tensor:
    """Return the same bits, of which a tape that is outside of the loop's own knows nothing.

    Under two tapes TensorFlow traces a loop with its gradients' gradients, which takes longer than all the rest. A tape
    does not follow whole numbers.
    """
    if tf.executing_eagerly() or not tensor.dtype.is_floating:
        return tensor
    whole = {2: tf.int16, 4: tf.int32, 8: tf.int64}[tensor.dtype.size]
    return tf.bitcast(tf.bitcast(tensor, whole), tensor.dtype)


def _loop(
    step: ScanStep, inputs: Any, zeros: Any, first: Any, fixed: Any, weights: Any
) -> tuple[list[tf.Tensor], list[tf.Tensor], list[tf.Tensor]]:
    """Outputs, operands of the products and last state."""
    time = tf.shape(inputs[0])[0]
    read = [tf.TensorArray(one.dtype, size=time).unstack(one) for one in (*inputs, *zeros)]
    spec = _specification(step, inputs, first, fixed, weights)
    written = [tf.TensorArray(one.dtype, size=time, element_shape=one.shape) for one in spec]
    count = len(inputs)

    def body(t: tf.Tensor, state: tuple, arrays: list) -> tuple:
        now = tuple(array.read(t) for array in read[:count])
        operands: list[tf.Tensor] = []

        def product(index: int, operand: tf.Tensor) -> tf.Tensor:
            operands.append(operand)
            held = tf.stop_gradient(weights[index])  # outside of the loop it would not keep the loop back from dL/dw
            return product_of(operand, held) + read[count + index].read(t)

        state, outputs = step(now, state, fixed, product)
        arrays = [array.write(t, one) for array, one in zip(arrays, (*outputs, *operands), strict=True)]
        return t + 1, tuple(state), arrays

    _, last, arrays = tf.while_loop(lambda t, *_: t < time, body, (tf.constant(0), tuple(first), written))
    stacked = [array.stack() for array in arrays]
    divide = len(stacked) - len(weights)
    return stacked[:divide], stacked[divide:], list(last)


def _specification(step: ScanStep, inputs: Any, first: Any, fixed: Any, weights: Any) -> list[tf.TensorSpec]:
    """Return dtype and shape at one time, for each output, then each operand of a product."""
    operands: list[tf.Tensor] = []

    def product(index: int, operand: tf.Tensor) -> tf.Tensor:
        operands.append(operand)
        return product_of(operand, weights[index])

    with tf.Graph().as_default():
        now, state, constants = (
            tuple(tf.compat.v1.placeholder(one.dtype, one.shape[drop:]) for one in group)
            for group, drop in ((inputs, 1), (first, 0), (fixed, 0))
        )
        weights = [tf.compat.v1.placeholder(one.dtype, one.shape) for one in weights]
        _, outputs = step(now, state, constants, product)
        return [tf.TensorSpec(one.shape, one.dtype) for one in (*outputs, *operands)]


def _divided(flat: Sequence[Any], sizes: Sequence[int]) -> list[tuple[Any, ...]]:
    found, start = [], 0
    for size in sizes:
        found.append(tuple(flat[start : start + size]))
        start += size
    return found


def product_of(rows: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    """Return rows @ kernel; with a kernel (batch, n, m), multiply each row (n) by its sequence's matrix.

    Args:
        rows: (batch, n), or with a matrix a sequence a multiple of that, the rows of a sequence one after another.
    """
    if kernel.shape.rank == 2:
        return tf.matmul(rows, kernel)
    columns = tf.shape(kernel)[2] if kernel.shape[2] is None else kernel.shape[2]
    return tf.reshape(tf.matmul(grouped(rows, tf.shape(kernel)[0]), kernel), [tf.shape(rows)[0], columns])


def grouped(rows: tf.Tensor, groups: Any) -> tf.Tensor:
    """Return rows (groups * k, n), ordered by group, as (groups, k, n); there may be no rows."""
    size = tf.shape(rows)[0] // tf.maximum(groups, 1)
    return tf.reshape(rows, [groups, size, tf.shape(rows)[1] if rows.shape[1] is None else rows.shape[1]])


def _gradient(kernel: tf.Tensor, operand: tf.Tensor, result: tf.Tensor) -> tf.Tensor:
    """Return the gradient of a kernel, from all operands and result gradients, (time, batch, ...)."""
    if kernel.shape.rank == 2:
        return tf.matmul(_rows(operand), _rows(result), transpose_a=True)
    return tf.matmul(tf.transpose(operand, [1, 2, 0]), tf.transpose(result, [1, 0, 2]))


def _rows(sequence: tf.Tensor) -> tf.Tensor:
    return tf.reshape(sequence, [-1, sequence.shape[-1]])  # (time * batch, columns)
