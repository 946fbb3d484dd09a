"""What a linear classifier of two classes reads and has learned, for pictures of its weights' space."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from dltool.errors import UsageError, one_line

if TYPE_CHECKING:
    from dltool.runs.opened import OpenedRun


@dataclass(frozen=True)
class LinearClassifier:
    """The last layer of a run's model, on its training examples.

    Args:
        features: float64 (examples, weights), what it reads; the last feature is 1 if there is a bias.
        signs: +1 for class 1, -1 for class 0, (examples,).
        weights: float64 (weights,), the bias last.
        names: of the weights.
    """

    features: np.ndarray
    signs: np.ndarray
    weights: np.ndarray
    names: list[str]


def read(run: OpenedRun, kind: str) -> LinearClassifier:
    """Return the last layer of a run.

    Raises:
        UsageError: the model does not end in a Dense layer of one unit, or the targets are no two classes.
    """
    import keras

    from dltool.runs.plots._examples import BATCH
    from dltool.training.procedures._last_layer import LastLayer, signs_of

    needed = f"{run}: --what {kind} is for two classes and models that end in a Dense layer of one unit"
    try:
        last = LastLayer.of(run.model)
        if not isinstance(last.layer, keras.layers.Dense) or last.layer.units != 1:
            raise UsageError(f"{needed}. It ends in {type(last.layer).__name__}.")
        if run.facts.get("num_classes") != 2:
            raise UsageError(f"{needed}. Its targets are others.")
        with run.data.explained():
            features, targets = last.collect(run.data.pipeline("train", BATCH))
        signs = signs_of(targets)
    except ValueError as error:
        raise UsageError(f"{needed}. {one_line(error).removesuffix('.')}.") from error
    kernel = np.asarray(last.layer.kernel, np.float64)[:, 0]
    names = [f"w{index + 1}" for index in range(len(kernel))]
    if not last.layer.use_bias:
        return LinearClassifier(features, signs, kernel, names)
    features = np.hstack([features, np.ones((len(features), 1))])
    weights = np.append(kernel, float(np.asarray(last.layer.bias)[0]))
    return LinearClassifier(features, signs, weights, [*names, "b"])
