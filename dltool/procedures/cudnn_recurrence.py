"""Recurrent layers of a bfloat16 model on a GPU: cuDNN computes them in float32."""

from __future__ import annotations

import functools
from typing import Any

import keras
import tensorflow as tf

from dltool.procedures.fused_recurrence import SIGMOID, TANH


def compute_in_float32(model: Any) -> int:
    """Let cuDNN compute a model's LSTMs and GRUs in float32 where their policy says bfloat16.

    TensorFlow's cuDNN kernels give right outputs in bfloat16 and wrong gradients: on an H200 (TensorFlow 2.21, cuDNN
    9.19, 64 sequences of 64 steps, 384 units) those of an LSTM were off by more than their size, those of a GRU NaN in
    35 of 40 draws; in float16 and float32 they were right. Inputs, weights and states stay the policy's outside.

    Args:
        model: nested models and the two layers of `Bidirectional` are reached too.
    Returns:
        How many layers will compute in float32: 0 without a GPU. What cuDNN does not take (other activations,
        `recurrent_dropout`, `unroll`) stays in Keras's loop, where bfloat16 is right.
    """
    if not tf.config.get_visible_devices("GPU"):
        return 0
    found = [
        layer for layer in model._flatten_layers() if _is_cudnn_bfloat16(layer) and "inner_loop" not in vars(layer)
    ]
    for layer in found:
        layer.inner_loop = functools.partial(_in_float32, layer.cell, layer.inner_loop)
    return len(found)


def _is_cudnn_bfloat16(layer: Any) -> bool:
    """Whether Keras gives a layer to cuDNN in bfloat16, by the conditions of its TensorFlow backend."""
    if type(layer) not in (keras.layers.LSTM, keras.layers.GRU) or layer.compute_dtype != "bfloat16":
        return False
    cell = layer.cell
    plain = cell.activation in TANH and cell.recurrent_activation in SIGMOID and getattr(cell, "reset_after", True)
    return plain and layer.use_cudnn is not False and cell.use_bias and not (cell.recurrent_dropout or layer.unroll)


def _in_float32(
    cell: Any, stepwise: Any, sequences: Any, initial_state: Any, mask: Any = None, training: Any = False
) -> Any:
    """Keras's `RNN.inner_loop` on float32; the layer itself casts what comes out."""
    from keras.src.backend.common.variables import AutocastScope  # Keras has no public way to read weights uncast

    cell.reset_dropout_mask()  # drawn in bfloat16 already
    with AutocastScope(None):
        state = [tf.cast(one, tf.float32) for one in tf.nest.flatten(initial_state)]
        return stepwise(tf.cast(sequences, tf.float32), state, mask=mask, training=training)
