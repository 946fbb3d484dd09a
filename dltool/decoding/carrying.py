"""A language model's twin that carries its state from call to call, so that it reads a text in parts."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from dltool.graph.calls import Unrolled

PROBE = 6  # tokens on which a model and its twin are compared
TOLERANCE = 0.05  # of the largest logit: above the rounding of bfloat16, below what another function gives


def carrying(model: Any, rows: int, length: int | None = None) -> Any:
    """A model of `rows` texts side by side that goes on where its last call ended.

    Recurrent layers become stateful ones with the same weights; all other layers are the model's own.

    Args:
        model: of tokens (batch, time), Sequential or functional, its recurrent layers any of Keras's.
        rows: texts at a time, int > 0.
        length: tokens a call; None: any number. 1 makes a model without inner loops.
    Raises:
        ValueError: the model can't read a text in parts, and why.
    """
    graph = Unrolled(model)
    tokens = keras.Input((length,), batch_size=rows, dtype=model.inputs[0].dtype)
    twins = {
        number: _stateful(step.layer, unroll=length == 1)
        for number, step in enumerate(graph.steps)
        if isinstance(step.layer, keras.layers.RNN | keras.layers.Bidirectional)
    }
    twin = keras.Model(tokens, graph.run(tokens, [graph.output], twins, training=None))
    for number, layer in twins.items():
        layer.set_weights(graph.steps[number].layer.get_weights())
    return twin


def check(model: Any, twin: Any, rows: int) -> None:
    """Raise unless the twin gives token by token what the model gives for a whole text.

    Raises:
        ValueError: it does not: some layer looks ahead, or back without a state.
    """
    from dltool.graph import recurrent_state

    own_rows, size = model.inputs[0].shape[0] or 1, model.output_shape[-1]
    probe = np.arange(1, PROBE + 1, dtype=np.int32) % size
    recurrent_state.reset(model)
    expected = np.asarray(model(np.tile(probe, (own_rows, 1)), training=False), np.float32)[0]
    recurrent_state.reset(model)
    recurrent_state.reset(twin)
    calls = [np.asarray(twin(np.full((rows, 1), token), training=False), np.float32)[0, 0] for token in probe]
    recurrent_state.reset(twin)
    if not np.allclose(calls, expected, rtol=0, atol=TOLERANCE * np.abs(expected).max()):
        raise ValueError(
            "its layers give something else token by token than for a whole text: only recurrent layers may look "
            "beyond one token"
        )


def _stateful(layer: Any, unroll: bool) -> Any:
    """Return a recurrent layer of the same arguments that carries its state, without weights yet."""
    if isinstance(layer, keras.layers.Bidirectional):
        raise ValueError(f"{layer.name} is bidirectional: it reads what is still to be written")
    if layer.go_backwards or not layer.return_sequences:
        what = "reads backwards" if layer.go_backwards else "does not return sequences"
        raise ValueError(f"{layer.name} {what}")
    return type(layer).from_config({**layer.get_config(), "stateful": True, "unroll": unroll})
