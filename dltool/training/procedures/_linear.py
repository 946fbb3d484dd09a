"""Procedures that fit the last layer to numbers in one pass over the data, by the squares of its errors."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dltool.training.procedures._last_layer import EXAMPLES_AT_ONCE, LastLayer, check_dense
from dltool.training.procedures._procedure import Procedure


class LinearFit(Procedure):
    """The last layer, a Dense without activation, fitted to the targets by squared errors."""

    def __init__(self) -> None:
        self.last: LastLayer | None = None

    def prepare(
        self,
        model: Any,
        steps_per_epoch: int,
        load: Callable[[Path], Any] | None = None,
        class_names: Sequence[str] | None = None,
    ) -> None:
        """Find the layer that is fitted.

        Raises:
            ValueError: the model ends otherwise, or its loss is another than the mean of squares.
        """
        import keras

        name = type(self).__name__
        loss = keras.losses.get(model.loss) if isinstance(model.loss, str) else model.loss
        if not isinstance(loss, keras.losses.MeanSquaredError) and loss is not keras.losses.mean_squared_error:
            raise ValueError(f"{name} minimises squared errors: set compile.loss to MeanSquaredError")
        self.last = LastLayer.of(model)
        check_dense(name, self.last.layer)

    def figures(self) -> dict[str, float]:
        """Return loss and metrics of the training data with the weights at the end of the epoch."""
        return self._figures or super().figures()

    def _begin_fit(self, model: Any, steps_per_epoch: int, epochs: int) -> None:
        if self.last is None:
            self.prepare(model, steps_per_epoch)
        self._figures: dict[str, float] = {}

    def _renew(self) -> None:
        if self.augment is not None or self._execution[0] is not None:
            raise ValueError(f"{type(self).__name__} fits the examples as they are: remove augment and class_weight")

    def _begin_epoch(self, number: int) -> None:
        self._figures = {}

    def _advance(self, at_most: int) -> float:
        with np.errstate(over="ignore", invalid="ignore"):  # what is no number ends training
            loss = self._fit_epoch()
        self._count(self.steps - self.position.step)
        if np.isfinite(loss):
            self._figures = self.evaluation.run(
                self._train.in_batches_of(max(self._train.batch_size, EXAMPLES_AT_ONCE))
            )
        return loss

    @abstractmethod
    def _fit_epoch(self) -> float:
        """Do the work of an epoch; return the mean squared error, NaN where features or targets are no numbers."""

    def _weights(self) -> np.ndarray:
        """Return the layer's kernel, float64 (features, units)."""
        assert self.last is not None
        return np.asarray(self.last.layer.kernel, np.float64)

    def _write(self, kernel: np.ndarray, bias: np.ndarray) -> None:
        """Write kernel (features, units) and bias (units,) into the layer."""
        assert self.last is not None
        self.last.layer.kernel.assign(kernel)
        if self.last.layer.use_bias:
            self.last.layer.bias.assign(bias)


def shape_targets(targets: np.ndarray, units: int) -> np.ndarray:
    """Return targets as float64 (examples, units).

    Raises:
        ValueError: there is another number of them.
    """
    each = targets.size // len(targets)
    if each != units:
        raise ValueError(f"an example has {each} target{'s' * (each != 1)}, and the last layer {units} units")
    return np.asarray(targets, np.float64).reshape(len(targets), units)
