"""Examples of a run's splits as arrays, for pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from dltool.errors import UsageError

if TYPE_CHECKING:
    from dltool.runs.opened import OpenedRun

BATCH = 1024
MOST = 2000  # examples in a picture


def read(run: OpenedRun, split: str, most: int = MOST) -> tuple[Any, np.ndarray]:
    """Return the first examples of a split, inputs as an array or columns by name, and targets."""
    import tensorflow as tf

    size = run.data.rows or min(BATCH, most)
    pipeline = run.data.pipeline(split, size)
    with run.data.explained():
        pairs = [*pipeline.batches(-(-most // size))]

    def join(*parts: Any) -> np.ndarray:
        return np.concatenate([np.asarray(part) for part in parts])[:most]

    found: tuple[Any, np.ndarray] = tf.nest.map_structure(join, *pairs)
    return found


def columns(run: OpenedRun, kind: str, count: int) -> list[str] | None:
    """Return the names of a run's inputs if they are columns of a table, None if they are an array.

    Raises:
        UsageError: there are not `count` numbers an example.
    """
    facts = run.facts
    features, shape = facts.get("features"), facts.get("input_shape")
    if features is not None and len(features) == count:
        return [str(name) for name in features]
    if features is None and shape is not None and list(shape) == [count]:
        return None
    has = f"columns {', '.join(map(str, features))}" if features is not None else f"the shape {shape}"
    number = {1: "one input", 2: "two inputs"}[count]
    raise UsageError(f"{run}: --what {kind} is for models of {number}; its examples have {has}.")


def flat(x: Any, names: list[str] | None) -> np.ndarray:
    """Return inputs as an array (examples, inputs)."""
    if names is None:
        return np.asarray(x, np.float64)
    return np.stack([np.asarray(x[name], np.float64).reshape(-1) for name in names], axis=1)


def as_inputs(points: np.ndarray, names: list[str] | None) -> Any:
    """Return points (n, inputs) as a run's model takes them."""
    values = points.astype(np.float32)
    return values if names is None else {name: values[:, i : i + 1] for i, name in enumerate(names)}


def limits(values: np.ndarray, share: float = 0.08) -> tuple[float, float]:
    """Return the ends of an axis that shows values with a margin."""
    low, high = float(values.min()), float(values.max())
    margin = share * ((high - low) or abs(high) or 1.0)
    return low - margin, high + margin
