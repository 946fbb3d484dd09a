"""The figures of a model's trainable weights: their variance, their gradients, and what one update does."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from dltool.graph.kernel_axes import unit_columns
from dltool.graph.layer_tree import Part, holders
from dltool.init_stats.capture import Capture
from dltool.init_stats.chance import identical_units
from dltool.init_stats.declared_variance import initializer_of, promise
from dltool.init_stats.layer_measure import is_kernel


class WeightMeasure:
    """Figures of each trainable weight, gathered over batches.

    Args:
        model: its weights are read when the rows are made.
        parts: the model's layers, which name the weights.
    """

    def __init__(self, model: Any, parts: Sequence[Part]) -> None:
        self.weights = list(model.trainable_weights)
        self._holders = holders(parts)
        self._gradients: list[list[np.ndarray]] = [[] for _ in self.weights]
        self._updates: list[list[float]] = [[] for _ in self.weights]
        self._sums: list[np.ndarray | None] = [None for _ in self.weights]
        self._broken = [Counter[str]() for _ in self.weights]

    def add(self, capture: Capture) -> None:
        for index, (gradient, update) in enumerate(zip(capture.gradients, capture.updates, strict=True)):
            self._updates[index].append(_norm(update))
            if gradient is not None:
                self._broken[index].update(nan=int(np.isnan(gradient).sum()), inf=int(np.isinf(gradient).sum()))
                total = self._sums[index]
                self._sums[index] = gradient.astype(np.float64) if total is None else total + gradient
                size = max(gradient.size, 1)
                self._gradients[index].append(
                    np.array([np.std(gradient, dtype=np.float64), _norm(gradient), _norm(gradient) / math.sqrt(size)])
                )

    def rows(self) -> list[dict[str, Any]]:
        """Return one row per weight.

        `gradient_to_weight` is ||dL/dw|| / ||w|| and `update_to_weight` ||change of w in one step|| / ||w||, None for
        weights of zero; `declared_variance` is the initialiser's and `z_score` the distance from it in standard
        deviations of the sampling.
        """
        return [self._row(index, weight) for index, weight in enumerate(self.weights)]

    def _row(self, index: int, weight: Any) -> dict[str, Any]:
        part = self._holders.get(id(weight))
        values = np.asarray(weight, np.float32)
        initializer = None if part is None else initializer_of(part.layer, weight)
        promised = None if initializer is None else promise(initializer, values.shape)
        if part is not None and getattr(part.layer, "unit_forget_bias", False) and weight is part.layer.bias:
            promised = None  # ones among zeros
        variance = float(np.var(values, dtype=np.float64))
        about = variance if promised is None else float(np.mean(np.square(values.astype(np.float64) - promised.mean)))
        norm, gradients = _norm(values), self._gradients[index]
        std, gradient_norm, rms = (None, None, None) if not gradients else np.mean(np.array(gradients), axis=0).tolist()
        name = weight.path.rpartition("/")[2]
        columns, equal = None, None
        if is_kernel(weight):
            layer, total = None if part is None else part.layer, self._sums[index]
            columns = unit_columns(layer, weight, values)
            slopes = np.zeros_like(columns) if total is None else unit_columns(layer, weight, total)
            equal = identical_units(columns, slopes) if name != "recurrent_kernel" else None
        return {
            "layer": "" if part is None else part.path,
            "weight": name,
            "shape": "x".join(map(str, values.shape)),
            "units": len(columns) if columns is not None else values.shape[-1] if values.ndim else 1,
            "initializer": "" if initializer is None else type(initializer).__name__,
            "variance": variance,
            "declared_variance": None if promised is None else promised.variance,
            "variance_ratio": about / promised.variance if promised is not None and promised.variance else None,
            "z_score": None if promised is None else promised.z_score(values),
            "gradient_std": std,
            "gradient_norm": gradient_norm,
            "gradient_rms": rms,
            "gradient_nan": self._broken[index]["nan"],
            "gradient_inf": self._broken[index]["inf"],
            "gradient_to_weight": gradient_norm / norm if gradient_norm is not None and norm else None,
            "update_to_weight": float(np.mean(self._updates[index])) / norm if norm and self._updates[index] else None,
            "identical_units": equal,
            "is_kernel": columns is not None,
        }


def _norm(values: np.ndarray) -> float:
    return math.sqrt(float(np.sum(np.square(values, dtype=np.float64))))
