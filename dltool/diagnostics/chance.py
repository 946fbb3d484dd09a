"""The loss of a model that knows nothing of its inputs, and units that are copies of each other."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import keras
import numpy as np

CROSS_ENTROPIES = ("SparseCategoricalCrossentropy", "CategoricalCrossentropy")
BINARY = ("BinaryCrossentropy",)
SQUARES, ABSOLUTES = ("MeanSquaredError",), ("MeanAbsoluteError",)


def chance_loss(loss: Any, targets: np.ndarray, outputs: int) -> float | None:
    """The loss of the best constant guess: where an untrained model should start.

    Cross-entropy: ln K for K classes, all equally likely; binary: ln 2. Squared error: the targets' variance, mean
    over the outputs; absolute error: their mean distance from the median.

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


def identical_units(kernel: np.ndarray) -> int:
    """Units whose incoming weights equal another unit's: they compute the same and stay the same (broken symmetry).

    Args:
        kernel: (..., units).
    """
    columns = np.asarray(kernel).reshape(-1, np.shape(kernel)[-1]).T + 0.0  # -0 is 0
    counts = Counter(column.tobytes() for column in columns)
    return sum(count for count in counts.values() if count > 1)


def _name(loss: Any) -> str:
    if isinstance(loss, list | tuple) and len(loss) == 1:
        loss = loss[0]
    if isinstance(loss, str):
        loss = keras.losses.get(loss)
    name = getattr(loss, "__name__", type(loss).__name__)
    return "".join(word.capitalize() for word in name.split("_")) if name.islower() else name
