"""The state that recurrent layers with `stateful: true` carry between batches;

Keras does not count it among variables.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras

from dltool.graph import keras_internals


def variables(model: Any) -> list[Any]:
    """The state variables of a model's recurrent layers, (rows, units) each, in the order of the layers."""
    found = []
    for layer in keras_internals.inner_layers(model):
        if isinstance(layer, keras.layers.RNN) and layer.stateful and layer.states is not None:
            found += keras.tree.flatten(layer.states)
    return found


def reset(model: Any) -> None:
    """Forget what came before."""
    for variable in variables(model):
        variable.assign(keras.ops.zeros(variable.shape, variable.dtype))


@contextmanager
def aside(model: Any) -> Iterator[None]:
    """Begin without a state, and put back the one there was when the block ends."""
    held = [keras.ops.convert_to_numpy(variable) for variable in variables(model)]
    reset(model)
    yield
    if not held:  # they may have been made meanwhile
        reset(model)
        return
    for variable, array in zip(variables(model), held, strict=True):
        variable.assign(array)
