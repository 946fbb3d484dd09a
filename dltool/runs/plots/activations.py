"""An activation function of each run with its derivative, as the trained layer computes it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from dltool.errors import UsageError, suggest_or_list
from dltool.runs.plots import Options, titles

if TYPE_CHECKING:
    from dltool.runs.opened import OpenedRun

TAKES = ("layer",)
REACH = 5.0  # the largest input
POINTS = 401  # an odd number: 0 is one of them
JOINING = ("linear", "softmax", "log_softmax", "sparsemax", "glu")  # no function of one number, or none at all


def draw(runs: Sequence[OpenedRun], options: Options, file: BinaryIO, form: str) -> list[dict[str, Any]]:
    """Draw each run's function and derivative; return values and slopes at a few places, means over the units."""
    from dltool.output.plots.activations import Curves, plot_activations

    drawn, table = [], []
    z = np.linspace(-REACH, REACH, POINTS, dtype=np.float32)
    for run, title in zip(runs, titles(runs), strict=True):
        path, word, function = _activation(run, options.layer)
        values, slopes = _evaluated(function, z)
        drawn.append(Curves(title, f"{path}: {word}", z, values, slopes))
        at = {place: int(np.abs(z - place).argmin()) for place in (-4, -1, 0, 1, 4)}
        row: dict[str, Any] = {"run": str(run), "layer": path, "activation": word}
        row |= {f"f({place})": float(values[at[place]].mean()) for place in (-1, 0, 1)}
        row |= {f"f'({place})": float(slopes[at[place]].mean()) for place in (-4, 0, 4)}
        table.append(row)
    plot_activations(drawn, file, form)
    return table


def _activation(run: OpenedRun, wanted: str | None) -> tuple[str, str, Any]:
    """Return a layer's path, its activation's word, and the function or layer; by default of the first that has one.

    Raises:
        UsageError: there is none.
    """
    from dltool.graph import keras_internals
    from dltool.graph.layer_tree import parts

    found: dict[str, tuple[str, Any]] = {}
    for part in parts(run.model):
        function, layer = getattr(part.layer, "activation", None), part.layer
        if function is None and keras_internals.is_activation_layer(layer):
            function = layer
        word = getattr(function, "__name__", type(function).__name__)
        if callable(function) and word.lower() not in JOINING:
            found.setdefault(part.path, (word, function))
    if not found:
        raise UsageError(f"{run}: --what activations is for models with a layer whose activation is no straight line.")
    path = wanted if wanted is not None else next(iter(found))
    if path not in found:
        raise UsageError(f"--layer {path}: {run} has no such layer with an activation.{suggest_or_list(path, found)}")
    word, function = found[path]
    return path, word, function


def _evaluated(function: Any, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the values and derivatives of a pointwise function or layer, (points, units)."""
    import tensorflow as tf

    shape = tuple(function.input.shape[1:]) if hasattr(function, "input") else (1,)
    inputs = tf.tile(tf.reshape(z, (-1, *(1 for _ in shape))), (1, *shape))
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        outputs = tf.convert_to_tensor(function(inputs))
    slopes = tape.gradient(outputs, inputs)  # of the sum, whose terms each depend on one input
    return np.asarray(outputs, np.float64).reshape(len(z), -1), np.asarray(slopes, np.float64).reshape(len(z), -1)
