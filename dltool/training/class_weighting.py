"""The weights of classes in the loss, as a recipe's `fit.class_weight` names them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

LARGEST = 1e30  # a weight: its products with losses stay finite in float32


def class_weights(
    weights: Mapping[int | str, float] | str, classes: int, names: Sequence[str] = (), counts: np.ndarray | None = None
) -> np.ndarray:
    """Return Keras's `class_weight` as a vector (classes,); a class without an entry weighs 1.

    Args:
        weights: class number from 0, or class name -> weight; or "balanced": examples / (classes * examples of the
            class), so that classes weigh the same together, as in scikit-learn.
        names: of the classes, in label order; empty without names.
        counts: training examples of each class, (classes,); needed for "balanced".
    Raises:
        ValueError: a key that is no class, or a value that is no weight.
    """
    vector = np.ones(classes, np.float32)
    if isinstance(weights, str):
        if counts is None:
            raise ValueError("'balanced' needs one class an example")
        present = counts > 0
        vector[present] = counts.sum() / (present.sum() * counts[present])
        return vector
    known = [str(name) for name in names]
    numbered = known == [str(number) for number in range(classes)]
    for key, weight in weights.items():
        if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 <= weight <= LARGEST:
            raise ValueError(f"the weight of class {key!r} must be a number from 0 to {LARGEST:g}. Got {weight!r}.")
        vector[_class_number(key, classes, known, numbered)] = weight
    return vector


def _class_number(key: int | str, classes: int, names: Sequence[str], numbered: bool) -> int:
    """Return the number of a class from its number or name."""
    if isinstance(key, str) and key in names:
        return names.index(key)
    if isinstance(key, int) and not isinstance(key, bool):
        if not numbered and str(key) in names:
            raise ValueError(f"{key} may be a class's number or its name: write the name in quotes, '{key}'")
        if 0 <= key < classes:
            return key
    listed = ", ".join(names[:10]) + (", ..." if len(names) > 10 else "")
    raise ValueError(f"the data have no class {key!r}: classes are {listed or f'0 to {classes - 1}'}")
