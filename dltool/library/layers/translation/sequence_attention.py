"""The common base of attention over an encoder's outputs."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

FAR = -1e9  # finite: weights of a row without any source stay numbers


class Attention(keras.layers.Layer):
    """A weight for each position of the memory, and the memory's weighted mean.

        query - kernel --.
                         score - softmax - weights --.
        memory - keys ---'                           sum - context
             '--------------------------------------'

    Everything that depends on the memory alone is in `keys`, computed once a sentence. A loop over target positions
    takes all products itself, with `query_kernel`, with the memory and, where scores are products, with the keys, and
    gives `weights` to `score`: no variable is in the loop, and gradients of what it multiplies by are not added up step
    by step.

    Shapes: B sentences, S source positions, D the memory's width, Q the query's, A `units`, T target positions.
    """

    multiplies = False  # whether scores are query @ keys transposed and nothing else: loops compute them so themselves
    before = False  # whether the state before the recurrent step is the query, so that the context is its input

    def build_for(self, query: int, memory: int) -> None:
        """Make the weights for queries of width `query` over a memory of width `memory`."""
        raise NotImplementedError

    @property
    def query_kernel(self) -> Any | None:
        """(Q, A) where a query is projected, else None."""
        return None

    def score_weights(self) -> tuple[Any, ...]:
        """Further variables that `score` needs."""
        return ()

    def keys(self, memory: Any) -> Any:
        """Return keys (B, S, A) of a memory (B, S, D)."""
        return memory

    def score(self, query: Any, keys: Any, *weights: Any) -> Any:
        """Projected queries (B, T, A), keys (B, S, A) -> scores (B, T, S)."""
        if not self.multiplies:
            raise NotImplementedError
        return tf.matmul(query, keys, transpose_b=True)

    def attend(self, query: Any, keys: Any, memory: Any, held: Any, *weights: Any) -> tuple[Any, Any]:
        """Context (B, T, D) and weights (B, T, S).

        Args:
            query: projected by `query_kernel`, (B, T, A).
            held: which positions hold a token, bool (B, S).
        """
        found = tf.cast(self.weights_of(self.score(query, keys, *weights), held), memory.dtype)
        return tf.matmul(found, memory), found

    def weights_of(self, scores: Any, held: Any) -> Any:
        """Return the softmax of scores (B, T, S) over the positions that hold a token, float32."""
        return tf.nn.softmax(tf.where(held[:, tf.newaxis], tf.cast(scores, tf.float32), FAR))


def additive_score(query: Any, keys: Any, vector: Any) -> Any:
    """Return vector . tanh(query + key), for each query (B, T, A) and key (B, S, A): (B, T, S)."""
    hidden = tf.tanh(query[:, :, tf.newaxis] + keys[:, tf.newaxis])  # (B, T, S, A)
    shape = tf.shape(hidden)
    flat = tf.matmul(tf.reshape(hidden, [-1, hidden.shape[-1]]), vector[:, tf.newaxis])
    return tf.reshape(flat, shape[:3])


def projected(values: Any, kernel: Any) -> Any:
    """Return values @ kernel, (..., rows) and (rows, columns), as one product.

    tf.matmul takes one a sentence, and for the kernel's gradient one a sentence too, (batch, rows, columns) in memory.
    """
    flat = tf.matmul(tf.reshape(values, [-1, kernel.shape[0]]), kernel)
    return tf.reshape(flat, tf.concat([tf.shape(values)[:-1], [kernel.shape[1]]], 0))
