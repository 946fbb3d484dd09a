"""A recurrent decoder, with or without attention."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from dltool.library.layers.translation.gated_steps import gru_step, lstm_step
from dltool.library.layers.translation.sequence_attention import Attention, projected
from dltool.ops import parallel
from dltool.ops.product_scan import grouped, product_of, product_scan

STEPS = {"GRU": gru_step, "LSTM": lstm_step}
REQUIRED = {  # what `gated_steps` compute
    "GRU": {"activation": "tanh", "recurrent_activation": "sigmoid", "use_bias": True, "reset_after": True},
    "LSTM": {"activation": "tanh", "recurrent_activation": "sigmoid", "use_bias": True},
}
PLAIN = {"dropout": 0.0, "recurrent_dropout": 0.0, "go_backwards": False, "stateful": False}


@keras.saving.register_keras_serializable("dltool")
class AttentionDecoder(keras.layers.Layer):
    """A decoder of translations: o_t = tanh(W [s_t; c_t] + b), of a recurrent state and a context.

        without attention:  s_t = RNN(y_t, s_t-1), o_t from s_t alone
        Bahdanau:           c_t = attention(s_t-1), s_t = RNN([y_t; c_t], s_t-1)
        Luong:              s_t = RNN(y_t, s_t-1), c_t = attention(s_t)
        input feeding:      the RNN's input also holds o_t-1 (Luong et al., section 3.3), o_0 = 0
        layers above:       s'_t = RNN'([s_t; c_t], s'_t-1), and so on; o_t is of the last one's state and c_t

    Layers above carry what was attended to from step to step, as input feeding does, without making attention wait
    for it: so do Wu et al. (2016, section 3), whose query is the state before the step. Their first state is 0. y_t is
    the embedding of the token before. Where nothing of step t depends on attention at step t - 1 (no attention, or
    Luong's without input feeding), the first recurrence runs over the whole target as the Keras layer itself does;
    those above always do.

    Args:
        recurrent: a GRU or an LSTM of Keras with its default activations and without dropout.
        units: width of o_t.
        attention: a `BahdanauAttention` or `LuongAttention`, or None.
        input_feeding: whether o_t-1 is an input. Defaults to false. Not with layers above.
        above: further layers, as `recurrent`. Defaults to none.
        dropout: share of dropped inputs of the layers above in training, in [0, 1). Defaults to 0.
    Input: [y (B, T, E), memory (B, S, D), source tokens int (B, S), states (B, Q) ...].   Output: (B, T, units).
    Raises:
        ValueError: if an argument is none of these.
    Reference: Sutskever et al., 2014; Bahdanau et al., 2015; Luong et al., 2015; Wu et al., 2016, arXiv:1609.08144;
        lecture slides 139 and 140.
    """

    def __init__(
        self,
        recurrent: Any,
        units: int,
        attention: Any = None,
        input_feeding: bool = False,
        above: Sequence[Any] = (),
        dropout: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if attention is not None and not isinstance(attention, Attention):
            raise ValueError(
                f"The attention must be a BahdanauAttention, a LuongAttention or null. Got {type(attention).__name__}."
            )
        if above and input_feeding:
            raise ValueError("Input feeding is of a decoder of one layer. Remove it, or the layers above the first.")
        self.recurrent = self._own(recurrent)
        self.above = [self._own(layer, f"above_{number}") for number, layer in enumerate(above, start=1)]
        if not 0 <= dropout < 1 or (dropout and not above):
            wanted = "a number in [0, 1)" if above else "0 without layers above"
            raise ValueError(f"The 'dropout' of AttentionDecoder must be {wanted}. Got {dropout!r}.")
        # none where none is needed: it would take a seed from the model's draws
        self.dropout = keras.layers.Dropout(dropout, dtype=self.dtype_policy) if dropout else None
        self.attention: Any = attention
        self.units, self.input_feeding = units, bool(input_feeding)
        self.supports_jit = False  # sentences differ in length: XLA would compile anew for each
        self.width = self.recurrent.units  # Q
        self._advance = STEPS[type(self.recurrent).__name__]
        self._reads_context = attention is not None and attention.before

    def _own(self, recurrent: Any, name: str | None = None) -> Any:
        """Return a copy of a recurrent layer that returns its sequence."""
        kind = type(recurrent).__name__
        if kind not in STEPS or not isinstance(recurrent, keras.layers.GRU | keras.layers.LSTM):
            raise ValueError(f"The decoder must be a GRU or an LSTM. Got {kind}.")
        config = recurrent.get_config()
        for key, wanted in (REQUIRED[kind] | PLAIN).items():
            if config[key] != wanted:
                remedy = " Give the dropout to the model." if key.endswith("dropout") else ""
                raise ValueError(f"The decoder's {kind} must have {key}={wanted!r}. Got {config[key]!r}.{remedy}")
        config |= {"return_sequences": True, "return_state": False, "name": name or kind.lower()}
        return type(recurrent).from_config({**config, "dtype": self.dtype_policy})

    @property
    def states(self) -> int:
        """Tensors of the first layer's state: 1 of a GRU, 2 of an LSTM."""
        return _states(self.recurrent)

    @property
    def _lower(self) -> int:
        """Tensors of `first` that are not of the layers above."""
        return self.states + (1 if self.input_feeding else 0)

    @property
    def steps_alone(self) -> bool:
        """Return whether the recurrence needs nothing from earlier steps but its own state."""
        return not (self._reads_context or self.input_feeding)

    def build(self, input_shape: Any) -> None:
        embedded, memory = input_shape[0][-1], input_shape[1][-1]
        self._embedded = embedded
        fed = (memory if self._reads_context else 0) + (self.units if self.input_feeding else 0)
        self.recurrent.build((None, None, embedded + fed))
        context = 0
        if self.attention is not None:
            self.attention.build_for(self.width, memory)
            context = memory
        below = self.width
        for layer in self.above:
            layer.build((None, None, below + context))
            below = layer.units
        self.readout_kernel = self.add_weight(
            name="readout_kernel", shape=(below + context, self.units), initializer="glorot_uniform"
        )
        self.readout_bias = self.add_weight(name="readout_bias", shape=(self.units,), initializer="zeros")

    def call(self, inputs: Any) -> Any:
        embedded, memory, source, *states = inputs
        if self.steps_alone:
            sequence = self.recurrent(embedded, initial_state=states)  # (B, T, Q)
            context, _ = self._attend(sequence, self.keys(memory), memory, source != 0)
        else:
            sequence, context, *fed = self._scanned(embedded, memory, source != 0, states)
            if self.input_feeding:
                return fed[0]
        for layer in self.above:
            joined = _joined(sequence, context)
            sequence = layer(joined if self.dropout is None else self.dropout(joined))
        return self._read_out(sequence, context)

    def keys(self, memory: Any) -> Any:
        """Return what attention needs from the memory, computed once: (B, S, A)."""
        return memory if self.attention is None else self.attention.keys(memory)

    def first(self, states: Sequence[Any]) -> tuple[Any, ...]:
        """Return the state before the first step: recurrence, o_0 with input feeding, layers above."""
        widths = [self.units] if self.input_feeding else []
        widths += [layer.units for layer in self.above for _ in range(_states(layer))]
        return (*states, *(tf.zeros([tf.shape(states[0])[0], width], states[0].dtype) for width in widths))

    def step(self, embedded: Any, state: Any, keys: Any, memory: Any, held: Any) -> tuple[Any, Any, Any]:
        """Run one step: return o (N, units), the weights (N, S) or None, and the next state.

        Args:
            embedded: of the tokens before, (N, E), N a multiple of B: the hypotheses of a sentence one after another.
            state: of the step before, or `first`.
            keys, memory: (B, S, A) and (B, S, D).
            held: which source positions hold a token, bool (B, S).
        """
        kernels, constants = self._kernels(keys, memory, True), self._constants(keys, held)
        inputs, lower = (self._projected(embedded),), self._lower
        after, outputs = self._step(
            inputs, state[:lower], constants, lambda index, a: product_of(a, kernels[index]), True
        )
        hidden, context, *rest = outputs
        weights = rest[-1] if self.attention is not None else None
        if self.input_feeding:
            return rest[0], weights, after
        context, upper = context if self.attention is not None else None, state[lower:]
        for layer in self.above:
            own, upper = upper[: _states(layer)], upper[_states(layer) :]
            own = self._stepped(layer, _joined(hidden, context), own)
            hidden, after = own[0], (*after, *own)
        return self._read_out(hidden, context), weights, after

    # -- one step ------------------------------------------------------------------------------------------

    def _step(self, inputs: Any, state: Any, constants: Any, product: Any, tell: bool = False) -> tuple[Any, Any]:
        """Return the next state, and the outputs: s, c, then o if fed, then the weights if wanted."""
        recurrent_bias, readout_bias, held, *scoring = constants
        states, fed = state[: self.states], state[self.states :]
        number, attention = 0, self.attention
        reads = self._reads_context

        def take(operand: Any) -> Any:  # the products in the order of `_kernels`
            nonlocal number
            number += 1
            return product(number - 1, operand)

        recurrent = take(states[0])
        context = found = None
        if reads:
            width = recurrent_bias.shape[-1]
            query, recurrent = recurrent[:, width:], recurrent[:, :width]
            context, found = self._attend_once(query, held, scoring, take)
        (x,) = inputs
        feed = [*([context] if reads else []), *fed]
        if feed:
            x = x + take(tf.concat(feed, axis=-1) if len(feed) > 1 else feed[0])
        states = self._advance(x, recurrent + recurrent_bias, tuple(states))
        hidden = states[0]
        if attention is not None and not reads and (self.input_feeding or tell):
            query = hidden if attention.query_kernel is None else take(hidden)
            context, found = self._attend_once(query, held, scoring, take)
        outputs = [hidden, hidden if context is None else context]
        if self.input_feeding:
            o = tf.tanh(take(outputs[0] if attention is None else tf.concat(outputs, axis=-1)) + readout_bias)
            outputs, fed = [*outputs, o], (o,)
        return (*states, *fed), (*outputs, *([found] if tell and found is not None else []))

    def _kernels(self, keys: Any, memory: Any, tell: bool = False) -> list[Any]:
        """Return the kernels of a step's products, in order; attention's are matrices of each sentence."""
        cell, attention = self.recurrent.cell, self.attention
        attending = []
        if attention is not None:
            attending = [*([tf.transpose(keys, [0, 2, 1])] if attention.multiplies else []), memory]
        kernel = self._cast(cell.kernel)
        recurrent = self._cast(cell.recurrent_kernel)
        if self._reads_context:
            found = [tf.concat([recurrent, self._cast(attention.query_kernel)], 1), *attending]
        else:
            found = [recurrent]
        if not self.steps_alone:
            found.append(kernel[self._embedded :])
        if attention is not None and not self._reads_context and (self.input_feeding or tell):
            found += [self._cast(one) for one in (attention.query_kernel,) if one is not None] + attending
        if self.input_feeding:
            found.append(self._cast(self.readout_kernel))
        return found

    def _constants(self, keys: Any, held: Any) -> tuple[Any, ...]:
        _, recurrent_bias = self._biases(self.recurrent.cell)
        scoring: tuple[Any, ...] = ()
        if self.attention is not None and not self.attention.multiplies:
            scoring = (keys, *map(self._cast, self.attention.score_weights()))
        # held as numbers: what is differentiated past must be of a float type
        return (recurrent_bias, self._cast(self.readout_bias), tf.cast(held, self.compute_dtype), *scoring)

    def _projected(self, embedded: Any) -> Any:
        """W y + b, (..., gates): the part of the recurrence's input that is known before the loop."""
        cell = self.recurrent.cell
        bias, _ = self._biases(cell)
        return projected(embedded, self._cast(cell.kernel)[: self._embedded]) + bias

    def _biases(self, cell: Any) -> tuple[Any, Any]:
        """Return a cell's biases of input and state. A GRU has both, an LSTM one for their sum."""
        bias = self._cast(cell.bias)
        return (bias[0], bias[1]) if bias.shape.rank == 2 else (bias, tf.zeros_like(bias))

    def _stepped(self, layer: Any, inputs: Any, state: tuple[Any, ...]) -> tuple[Any, ...]:
        """Return the next state of a layer above."""
        cell, (bias, recurrent_bias) = layer.cell, self._biases(layer.cell)
        x = tf.matmul(inputs, self._cast(cell.kernel)) + bias
        recurrent = tf.matmul(state[0], self._cast(cell.recurrent_kernel)) + recurrent_bias
        return STEPS[type(layer).__name__](x, recurrent, state)

    def _scanned(self, embedded: Any, memory: Any, held: Any, states: list[Any]) -> list[Any]:
        """Return s, c, and with input feeding o, (B, T, width) each."""
        found = parallel.in_parts(self._scan, embedded, self.keys(memory), memory, held, *states)
        return [tf.concat(one, axis=0) for one in zip(*found, strict=True)]

    def _scan(self, embedded: Any, keys: Any, memory: Any, held: Any, *states: Any) -> list[Any]:
        """Return the outputs of all steps for some sentences, (rows, T, width) each."""
        projected = self._projected(tf.transpose(embedded, [1, 0, 2]))  # (T, rows, gates)
        projected.set_shape([None, None, self.recurrent.cell.kernel.shape[1]])
        outputs, _ = product_scan(
            self._step,
            [projected],
            self.first(states)[: self._lower],
            self._constants(keys, held),
            self._kernels(keys, memory),
        )
        return [tf.transpose(one, [1, 0, 2]) for one in outputs]

    def _attend(self, queries: Any, keys: Any, memory: Any, held: Any) -> tuple[Any, Any]:
        """Contexts (B, T, D) and weights (B, T, S) of unprojected queries (B, T, Q); None without attention."""
        if self.attention is None:
            return None, None
        if self.attention.query_kernel is not None:
            queries = projected(queries, self._cast(self.attention.query_kernel))
        weights = map(self._cast, self.attention.score_weights())
        return self.attention.attend(queries, keys, memory, held, *weights)

    def _attend_once(self, query: Any, held: Any, scoring: Any, take: Any) -> tuple[Any, Any]:
        """Contexts (N, D) and weights (N, S) of projected queries (N, A); with several a sentence, of a beam's
        hypotheses, neither memory nor keys are repeated for each."""
        attention, sentences = self.attention, tf.shape(held)[0]
        if attention.multiplies:
            scores = grouped(take(query), sentences)
        else:
            scores = attention.score(grouped(query, sentences), *scoring)
        found = attention.weights_of(scores, held > 0)  # (sentences, hypotheses, S)
        found = tf.reshape(tf.cast(found, self.compute_dtype), [tf.shape(query)[0], tf.shape(held)[1]])
        return take(found), found

    def _read_out(self, hidden: Any, context: Any) -> Any:
        return tf.tanh(
            projected(_joined(hidden, context), self._cast(self.readout_kernel)) + self._cast(self.readout_bias)
        )

    def _cast(self, variable: Any) -> Any:
        return tf.cast(tf.convert_to_tensor(variable), self.compute_dtype)

    def compute_output_spec(self, inputs: Any) -> Any:
        return keras.KerasTensor((*inputs[0].shape[:-1], self.units), self.compute_dtype)

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> Any:
        return None

    def get_config(self) -> dict[str, Any]:
        serialize = keras.saving.serialize_keras_object
        return {
            **super().get_config(),
            "recurrent": serialize(self.recurrent),
            "units": self.units,
            "attention": None if self.attention is None else serialize(self.attention),
            "input_feeding": self.input_feeding,
            "above": [serialize(layer) for layer in self.above],
            "dropout": 0.0 if self.dropout is None else self.dropout.rate,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> AttentionDecoder:
        restore = keras.saving.deserialize_keras_object
        attention = config["attention"]
        layers = {
            "recurrent": restore(config["recurrent"]),
            "attention": None if attention is None else restore(attention),
            "above": [restore(layer) for layer in config.get("above", [])],  # which older runs lack
        }
        return cls(**{**config, **layers})


def _states(layer: Any) -> int:
    return 2 if isinstance(layer, keras.layers.LSTM) else 1


def _joined(hidden: Any, context: Any) -> Any:
    return hidden if context is None else tf.concat([hidden, context], axis=-1)
