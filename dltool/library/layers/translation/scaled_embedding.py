"""Embeddings of tokens that are of size one where they are read and small where they are scored."""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable("dltool")
class ScaledEmbedding(keras.layers.ReversibleEmbedding):
    """A token's embedding times sqrt(output_dim); backwards, logits from the embeddings themselves.

    Drawn with a standard deviation of 1 / sqrt(output_dim), so that embeddings have one of 1, and logits of tied
    embeddings begin near the same. Keras's own draw (uniform, up to 0.05) leaves the encoder's outputs so alike that
    attention gets hardly a gradient and stays at the mean. Logits are computed in the layer's compute dtype: inside a
    model of mixed precision Keras's own are in float32, a large part of such a net's work.

    Args:
        input_dim, output_dim, tie_weights and others: as in `keras.layers.ReversibleEmbedding`.
    Input: int (batch, time), or backwards (batch, time, output_dim).
    Reference: Vaswani et al., 2017, arXiv:1706.03762, section 3.4.
    """

    def __init__(self, input_dim: int, output_dim: int, **kwargs: Any) -> None:
        kwargs.setdefault("embeddings_initializer", keras.initializers.RandomNormal(stddev=output_dim**-0.5))
        super().__init__(input_dim, output_dim, **kwargs)

    def call(self, inputs: Any, reverse: bool = False) -> Any:
        if reverse:
            dtype = self.reverse_dtype or self.compute_dtype
            kernel = ops.transpose(self.embeddings) if self.tie_weights else self.reverse_embeddings
            logits = ops.matmul(ops.cast(inputs, dtype), ops.cast(kernel, dtype))
            cap = self.logit_soft_cap
            return logits if cap is None else ops.tanh(logits / cap) * cap
        return super().call(inputs) * math.sqrt(self.output_dim)
