"""Batch normalisation of images in one kernel, where Keras takes some ten elementwise ones."""

from __future__ import annotations

import functools
from typing import Any

import keras
import tensorflow as tf

from dltool.graph import keras_internals
from dltool.ops.devices import has_gpu

PRECISIONS = ("float32", "mixed_bfloat16")  # whose variables are float32


def fuse(model: Any) -> int:
    """Let a model's batch normalisation of images train through TensorFlow's fused kernel.

    The function is the same, equal to rounding: y = gamma (x - mean) / sqrt(variance + epsilon) + beta, with moving
    averages of the batch's mean and of its variance over n positions (the kernel gives the one over n - 1). Means and
    variances of bfloat16 images are float32, as in Keras.

    Args:
        model: a built model; nested models are searched too.
    Returns:
        The number of fused layers: `BatchNormalization` itself on float32 or bfloat16 images with channels last, with
        scale and centre, neither synchronised nor renormalised. The others, and inference, go on as before.
    Limits: nothing is fused on a GPU, where this was not tried.
    Reference: Ioffe & Szegedy, 2015, algorithm 1.
    """
    fused = 0
    if has_gpu():
        return fused
    for layer in keras_internals.inner_layers(model):
        if type(layer) is keras.layers.BatchNormalization and _fits(layer) and "call" not in vars(layer):
            layer.call = functools.wraps(layer.call)(functools.partial(_call, layer, layer.call))
            fused += 1
    return fused


def _fits(layer: Any) -> bool:
    plain = layer.scale and layer.center and not layer.synchronized and not getattr(layer, "renorm", False)
    return plain and layer.built and layer.axis in (-1, 3) and layer.dtype_policy.name in PRECISIONS


def _call(layer: Any, elementwise: Any, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
    if training is not True or not layer.trainable or mask is not None or inputs.shape.rank != 4:
        return elementwise(inputs, training=training, mask=mask)
    y, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
        x=inputs,
        scale=tf.convert_to_tensor(layer.gamma),
        offset=tf.convert_to_tensor(layer.beta),
        mean=tf.zeros([0]),
        variance=tf.zeros([0]),
        epsilon=layer.epsilon,
        is_training=True,
    )
    positions = tf.cast(tf.size(inputs) // tf.shape(inputs)[-1], tf.float32)
    variance *= (positions - 1) / positions
    for moving, batch in ((layer.moving_mean, mean), (layer.moving_variance, variance)):
        moving.assign(moving * layer.momentum + batch * (1 - layer.momentum))
    return y
