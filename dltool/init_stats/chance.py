"""The loss of a model that knows nothing of its inputs, and units that are copies of each other."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np

from dltool.graph import keras_internals

CROSS_ENTROPIES = ("SparseCategoricalCrossentropy", "CategoricalCrossentropy")
BINARY = ("BinaryCrossentropy",)
SQUARES, ABSOLUTES = ("MeanSquaredError",), ("MeanAbsoluteError",)


def chance_loss(loss: Any, targets: np.ndarray, outputs: int) -> float | None:
    """Return the loss of a model that ignores its inputs, where an untrained model should start.

    Cross-entropy: ln K for K classes, binary ln 2, whatever the classes' shares: an untrained net gives each 1 / K.
    (The best constant guess knows the shares p_k and reaches their entropy, -sum p_k ln p_k <= ln K.) Squared error:
    the targets' variance, mean over the outputs; absolute error: their mean distance from the median.

    Args:
        loss: as `compile` takes it.
        targets: of the batches, (examples, ...).
        outputs: the model's outputs an example: K.
    Returns:
        None for other losses.
    """
    name = _name(loss)
    if name in CROSS_ENTROPIES:
        return math.log(outputs) if outputs > 1 else None
    if name in BINARY:
        return math.log(2)
    values = np.asarray(targets, np.float64).reshape(len(targets), -1)
    if name in SQUARES:
        return float(values.var(axis=0).mean())
    if name in ABSOLUTES:
        return float(np.abs(values - np.median(values, axis=0)).mean())
    return None


def chance_of(model: Any, targets: Sequence[Any]) -> float | None:
    """Return the `chance_loss` of a compiled, built model; of several outputs the weighted sum of theirs.

    Args:
        targets: of each batch, (examples, ...), by name where the model has several outputs.
    Returns:
        None where that of an output is not known.
    """
    if not isinstance(targets[0], Mapping):
        units = math.prod(model.outputs[0].shape[-1:]) if getattr(model, "outputs", None) else 0
        return chance_loss(model.loss, np.concatenate([np.asarray(batch) for batch in targets]), units)
    total = 0.0
    for held in keras_internals.flat_losses(keras_internals.compiled_loss(model)):
        (name,) = held.path
        own = np.concatenate([np.asarray(batch[name]) for batch in targets])
        chance = chance_loss(model.loss[name], own, model.output[name].shape[-1])
        if chance is None:
            return None
        total += chance * (1.0 if held.loss_weights is None else held.loss_weights)
    return total


def identical_units(columns: np.ndarray, slopes: np.ndarray) -> int:
    """Return the number of units that copy another one, in incoming weights and their gradients (broken symmetry).

    Copies whose outgoing weights differ get different gradients and part with the first update.

    Args:
        columns: incoming weights, (units, weights).
        slopes: the loss's gradient with respect to them, of the same shape; equal to 1e-5 of the largest, as the order
            of summation differs among units.
    """
    groups: dict[bytes, list[int]] = {}
    for unit, column in enumerate(np.asarray(columns) + 0.0):  # -0 is 0
        groups.setdefault(column.tobytes(), []).append(unit)
    return sum(_copies(slopes[units]) for units in groups.values() if len(units) > 1)


def _copies(slopes: np.ndarray) -> int:
    """Return the number of rows that equal another one."""
    count, left, allowed = 0, slopes, 1e-5 * np.abs(slopes).max(initial=0.0)
    while len(left):
        equal = (np.abs(left - left[0]) <= allowed).all(axis=1)
        equal[0] = True
        count += int(equal.sum()) if equal.sum() > 1 else 0
        left = left[~equal]
    return count


def _name(loss: Any) -> str:
    if isinstance(loss, list | tuple) and len(loss) == 1:
        loss = loss[0]
    if isinstance(loss, str):
        loss = keras.losses.get(loss)
    name = getattr(loss, "__name__", type(loss).__name__)
    return "".join(word.capitalize() for word in name.split("_")) if name.islower() else name
