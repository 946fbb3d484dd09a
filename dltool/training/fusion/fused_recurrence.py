"""Keras's recurrent layers with their large products outside the loop over time."""

from __future__ import annotations

import functools
from typing import Any

import keras
import tensorflow as tf

from dltool.graph import keras_internals
from dltool.ops import devices, parallel
from dltool.ops.recurrence.gru import fused_gru
from dltool.ops.recurrence.lstm import fused_lstm
from dltool.ops.recurrence.simple_rnn import fused_simple_rnn

TANH = (keras.activations.tanh, keras.ops.tanh, tf.tanh)
SIGMOID = (keras.activations.sigmoid, keras.ops.sigmoid, tf.sigmoid)
HELD = 2**28  # bytes of W x_t + b of all times, beyond which inference goes step by step
ROWS = 512  # of a batch of unknown size, for that


def fuse(model: Any) -> int:
    """Let recurrent layers compute one large product per weight, outside the loop over time.

    The functions are the same, equal to rounding, from the same draws of dropout: W x_t + b of all times is one product
    before the loop, and each weight's gradient one after it. Keras has small ones at every time step. Parts of the
    batch go through time in loops of their own (`side_by_side`), one per processor.

    Args:
        model: a built model; nested models and the two layers of `Bidirectional` are reached too.
    Returns:
        The number of fused layers: `LSTM`, `GRU` and `SimpleRNN` themselves with tanh and sigmoid and without
        recurrent dropout. The others, and `RNN` of cells, go on as before.
    Limits: nothing is fused on a GPU, whose cuDNN Keras uses, nor inside `TimeDistributed`, which may vectorise its
        layer. W x_t + b of all times is held at once; inference on long sequences stays with Keras. A Jacobian
        (`tf.GradientTape.jacobian`) does not exist.
    """
    fused = 0
    if devices.has_gpu():
        return fused
    layers = keras_internals.inner_layers(model)
    vectorised = {
        id(inner)
        for layer in keras_internals.inner_layers(model, include_self=True)
        if isinstance(layer, keras.layers.TimeDistributed)
        for inner in keras_internals.inner_layers(layer)
    }
    paired = {
        id(inner)
        for layer in layers
        if isinstance(layer, keras.layers.Bidirectional)
        for inner in (layer.forward_layer, layer.backward_layer)  # which are side by side themselves
    }
    processors = devices.processors()
    for layer in layers:
        if id(layer) not in vectorised and _fits(layer) and "inner_loop" not in vars(layer):
            loops = max(1, processors // 2) if id(layer) in paired else processors
            layer.inner_loop = functools.partial(_inner_loop, layer, layer.inner_loop, loops)
            fused += 1
    return fused


def _fits(layer: Any) -> bool:
    gated = type(layer) in (keras.layers.LSTM, keras.layers.GRU)
    if not (gated or type(layer) is keras.layers.SimpleRNN) or not layer.built:
        return False
    cell = layer.cell
    if cell.activation not in TANH or cell.recurrent_dropout or cell.dropout >= 1:
        return False
    if not gated:
        return True
    one_mask = not cell.dropout or cell.implementation == 2  # implementation 1 drops out for each gate apart
    return cell.recurrent_activation in SIGMOID and one_mask and layer.use_cudnn is not True  # True is to fail


def _inner_loop(
    layer: Any, stepwise: Any, loops: int, sequences: Any, initial_state: Any, mask: Any = None, training: Any = False
) -> tuple[Any, Any, list[Any]]:
    """Keras's `RNN.inner_loop`: the last output, the outputs, the last state. `loops` as of `side_by_side.in_parts`."""
    cell = layer.cell
    rows, times = sequences.shape[:2]
    if training is not True and (rows or ROWS) * (times or 0) * cell.kernel.shape[1] * 4 > HELD:
        return stepwise(sequences, initial_state, mask=mask, training=training)
    if cell.dropout and training:
        sequences *= tf.expand_dims(cell.get_dropout_mask(sequences[:, 0, :]), 1)  # one mask for all times
    if isinstance(mask, list | tuple):
        mask = mask[0]
    if mask is not None:
        mask = tf.cast(mask, tf.bool)
        mask = mask if mask.shape.rank == 3 else tf.expand_dims(mask, -1)
    if layer.go_backwards:
        sequences = tf.reverse(sequences, [1])
        mask = None if mask is None else tf.reverse(mask, [1])
    state = [tf.convert_to_tensor(one) for one in tf.nest.flatten(initial_state)]
    masks = [] if mask is None else [mask]

    def loop(sequences: Any, *rest: Any) -> Any:
        first, masks = rest[: len(state)], rest[len(state) :]
        weights = (None if one is None else tf.cast(one, cell.compute_dtype) for one in _weights(cell))
        seen = tf.transpose(masks[0], [1, 0, 2]) if masks else None
        return _recurrence(layer)(sequences, *weights, *first, mask=seen, sequence=layer.return_sequences)

    found = parallel.in_parts(loop, tf.cast(sequences, cell.compute_dtype), *state, *masks, loops=loops)
    outputs: Any = tf.concat([one[0] for one in found], axis=1) if layer.return_sequences else None
    state = [tf.concat(parts, axis=0) for parts in zip(*(one[1:] for one in found), strict=True)]
    if not layer.return_sequences:
        outputs = tf.expand_dims(state[0], 0)
    if mask is not None:
        outputs = tf.where(_seen(layer, tf.transpose(mask, [1, 0, 2])), outputs, tf.zeros_like(outputs))
    return outputs[-1], tf.transpose(outputs, [1, 0, 2]), state


def _recurrence(layer: Any) -> Any:
    if isinstance(layer, keras.layers.LSTM):
        return fused_lstm
    if isinstance(layer, keras.layers.GRU):
        return functools.partial(fused_gru, reset_after=layer.cell.reset_after)
    return fused_simple_rnn


def _weights(cell: Any) -> list[Any]:
    found = (cell.kernel, cell.recurrent_kernel, cell.bias)
    return [None if weight is None else tf.convert_to_tensor(weight) for weight in found]


def _seen(layer: Any, mask: tf.Tensor) -> tf.Tensor:
    """Return the mask of nonzero outputs.

    Keras repeats the previous output, which is zero before the first, not h_0.
    """
    seen = mask if layer.zero_output_for_mask else tf.cumsum(tf.cast(mask, tf.int32), axis=0) > 0
    return seen if layer.return_sequences else seen[-1:]
