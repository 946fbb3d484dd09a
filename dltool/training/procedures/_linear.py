"""Procedures that fit the last layer to numbers in one pass over the data, by the squares of its errors."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import numpy as np

from dltool.data.pipelines.base import Pipeline
from dltool.training.procedures._last_layer import LastLayerProcedure, check_dense
from dltool.training.procedures._procedure import UnfitSetting


class LinearFit(LastLayerProcedure):
    """The last layer, a Dense without activation, fitted to the targets by squared errors."""

    def _check_loss(self, loss: Any) -> None:
        import keras

        loss = keras.losses.get(loss) if isinstance(loss, str) else loss
        if not isinstance(loss, keras.losses.MeanSquaredError) and loss is not keras.losses.mean_squared_error:
            name = type(self).__name__
            raise ValueError(f"{name} minimises squared errors: set compile.loss to MeanSquaredError")

    def _check(self, layer: Any) -> None:
        check_dense(type(self).__name__, layer)

    def _steps_of_epoch(self, train: Pipeline, asked: int | None) -> int:
        if asked is not None:
            message = f"an epoch of {type(self).__name__} takes all training data. Remove it"
            raise UnfitSetting(("fit", "steps_per_epoch"), message)
        return super()._steps_of_epoch(train, asked)

    def _advance(self, at_most: int) -> float:
        with np.errstate(over="ignore", invalid="ignore"):  # what is no number ends training
            loss = self._fit_epoch()
        self._count(self.steps - self.position.step)
        if np.isfinite(loss):
            self._measure()
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
