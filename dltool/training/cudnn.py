"""Recurrent layers of bfloat16 models on a GPU: cuDNN computes them in float32."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from dltool.graph import keras_internals
from dltool.ops.devices import has_gpu


def compute_in_float32() -> None:
    """On a GPU, whatever Keras gives to cuDNN's LSTM and GRU in bfloat16 is computed in float32 from now on.

    TensorFlow's cuDNN kernels give right outputs in bfloat16 and wrong gradients: on an H200 (TensorFlow 2.21, cuDNN
    9.19, 64 sequences of 64 steps, 384 units) those of an LSTM were off by more than their size, those of a GRU NaN in
    35 of 40 draws; in float16, and in float32 with TensorFlow's default of TF32, they were right. Inputs, weights,
    states and outputs of the layers keep the policy's types, and so does all that cuDNN does not take, in Keras's loop.
    """
    if not has_gpu():
        return
    for name in ("lstm", "gru"):
        native = keras_internals.cudnn_kernel(name)
        if not hasattr(native, "__wrapped__"):
            keras_internals.set_cudnn_kernel(name, _in_float32(native))


def _in_float32(native: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(native)
    def compute(inputs: Any, *states_and_mask: Any, **more: Any) -> Any:
        if inputs.dtype != tf.bfloat16:
            return native(inputs, *states_and_mask, **more)
        with keras_internals.autocast_weights("float32"):  # of the weights
            return native(_widened(inputs), *map(_widened, states_and_mask), **more)

    return compute


def _widened(value: Any) -> Any:
    return tf.cast(value, tf.float32) if getattr(value, "dtype", None) == tf.bfloat16 else value
