"""A model of translations: trained on whole sentences, decoded token by token."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from dltool.graph import keras_internals

# layers of a Translator, by which it finds its parts again when it has been loaded
SOURCE, TARGET, ENCODED, BRIDGE, DECODER = "source_embedding", "target_embedding", "encoded", "bridge", "decoder"
REVERSED = "reversed"  # there is one where the source is read backwards


@keras.saving.register_keras_serializable("dltool")
class Translator(keras.Model):
    """A functional model {"source", "target"} -> logits that counts loss by tokens and can go step by step.

    The loss of an epoch or a split is the mean over its tokens, however they fall into batches; Keras would weigh each
    batch by its sentences.

    Args:
        inputs, outputs, name: as of `keras.Model`; with layers of the names above.
    """

    def train_step(self, data: Any) -> dict[str, Any]:
        x, y = data[:2]
        with tf.GradientTape() as tape:
            predicted = self(x, training=True)
            loss = keras_internals.compute_loss(self, x=x, y=y, y_pred=predicted, training=True)
            scaled = self.optimizer.scale_loss(loss)
        keras_internals.loss_tracker(self).update_state(loss, sample_weight=_tokens(y))
        variables = self.trainable_weights
        self.optimizer.apply_gradients(zip(tape.gradient(scaled, variables), variables, strict=True))
        return self.compute_metrics(x, y, predicted)

    def test_step(self, data: Any) -> dict[str, Any]:
        x, y = data[:2]
        predicted = self(x, training=False)
        loss = keras_internals.compute_loss(self, x=x, y=y, y_pred=predicted, training=False)
        keras_internals.loss_tracker(self).update_state(loss, sample_weight=_tokens(y))
        return self.compute_metrics(x, y, predicted)

    # -- decoding ------------------------------------------------------------------------------------------

    @property
    def has_attention(self) -> bool:
        return self.get_layer(DECODER).attention is not None

    @property
    def target_size(self) -> int:
        """Tokens of the target vocabulary."""
        return int(self.get_layer(TARGET).input_dim)

    def encode(self, source: Any) -> dict[str, Any]:
        """Compute once what `step` needs of source sentences.

        Args:
            source: tokens, int32 (batch, source), padding 0 at the end.
        Returns:
            A state for `step`, each tensor with one row per sentence: "memory" (batch, source, features), "keys",
            "held" (batch, source), whether a position holds a token, and "state", a tuple of tensors that change from
            step to step. To follow several continuations of each sentence, repeat the rows of "state" (tf.repeat) and
            gather them among those of a sentence; the other tensors stay unchanged.
        """
        decoder = self.get_layer(DECODER)
        memory, *states = self._encoder(source, training=False)
        state = decoder.first(states)
        return {"memory": memory, "keys": decoder.keys(memory), "held": source != 0, "state": state}

    def step(self, tokens: Any, state: dict[str, Any]) -> tuple[Any, Any, dict[str, Any]]:
        """Return logits float32 (rows, vocabulary), attention (rows, source) or None, and the next state.

        Attention is over the source's tokens in written order, even if they are read backwards.

        Args:
            tokens: the previous ones, int32, one per row of "state"; at first the begin of a sentence.
            state: from `encode`, or from the previous step.
        """
        embedding, decoder = self.get_layer(TARGET), self.get_layer(DECODER)
        embedded = embedding(tokens)
        o, weights, after = decoder.step(embedded, state["state"], state["keys"], state["memory"], state["held"])
        if weights is not None and self._reads_backwards:
            weights = _turned(weights, state["held"])
        return tf.cast(embedding(o, reverse=True), tf.float32), weights, {**state, "state": after}

    @property
    def _reads_backwards(self) -> bool:
        return any(layer.name == REVERSED for layer in self.layers)

    @property
    def _encoder(self) -> Any:
        """From source tokens to the encoder's outputs and the decoder's first state."""
        if "_source_model" not in vars(self):
            bridge = self.get_layer(BRIDGE)
            outputs = [self.get_layer(ENCODED).output, *_listed(bridge.output)]
            self.__dict__["_source_model"] = keras.Model(self.input["source"], outputs)  # hidden from Keras's tracking
        return vars(self)["_source_model"]


def _turned(weights: tf.Tensor, held: tf.Tensor) -> tf.Tensor:
    """Return weights (N, S) of positions from last token to first, in the tokens' order.

    Args:
        held: (B, S), N a multiple of B: the hypotheses of a sentence one after another.
    """
    lengths = tf.math.count_nonzero(held, axis=1, dtype=tf.int32)  # (B,)
    lengths = tf.repeat(lengths, tf.shape(weights)[0] // tf.shape(held)[0])
    return tf.reverse_sequence(weights, lengths, seq_axis=1, batch_axis=0)


def _tokens(y: Any) -> tf.Tensor:
    return tf.math.count_nonzero(y, dtype=tf.float32)


def _listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [value]
