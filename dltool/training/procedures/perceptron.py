"""Rosenblatt's perceptron: the online rule, one sample at a time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from dltool.training.procedures import _margin as margins
from dltool.training.procedures._last_layer import check_dense
from dltool.training.procedures._online import OnlineRule

USES_OPTIMIZER = False


class Perceptron(OnlineRule):
    """The perceptron learning rule on the last layer, a Dense; the layers before it are the features phi.

        w <- w + y phi(x), b <- b + y   if y (w . phi(x) + b) <= 0, else unchanged;   y = -1 for class 0, +1 for class 1

    With one unit there are two classes. With several, one a class, each unit learns to tell its class from all others
    (one against the rest, as in scikit-learn), and the answer is the unit of the highest score.

    Samples come one at a time, in the order of an epoch (`fit.shuffle`), a batch of them a step. Training ends after
    the first epoch without a mistake. If a hyperplane with margin gamma separates the samples, at most (R / gamma)^2
    updates lead there from w = 0 (Novikoff), R being the largest norm of (phi(x), 1); after training the number of
    updates and this bound are reported for up to 2,000 samples. Data that no hyperplane separates are reported after
    the last epoch. History: `mistakes` of the epoch, `updates` so far, loss and metrics at the end of the epoch.

    Args:
        tie: "mistake" if a score of exactly 0 is wrong for either class, as the theorem and scikit-learn have it;
            "positive" if it is class 1, as slide 9 has it. Defaults to "mistake".
    Raises:
        ValueError: the last layer is no Dense without activation, or targets are no classes of its units.
    Limits: layers before the last one stay unchanged. All features are held in memory. On data that are
        not separable the weights never come to rest: `select: {monitor: accuracy, mode: max}` keeps the best epoch's.
        The size of scores means nothing, and so do probabilities made of them.
    Reference: Rosenblatt, 1962, Principles of neurodynamics; Novikoff, 1962, On convergence proofs on perceptrons;
        lecture slides 8-17.
    """

    def _check(self, layer: Any) -> None:
        check_dense("Perceptron", layer)

    def _begin(self, layer: Any, features: np.ndarray) -> None:
        self._layer = layer
        self._features = np.hstack([features, np.ones((len(features), int(layer.use_bias)))])
        weights = [np.asarray(variable, np.float64).reshape(-1, layer.units) for variable in layer.trainable_variables]
        self._weights = np.concatenate(weights)  # (features, units), the bias last
        if layer.units == 1:
            self._weights = self._weights[:, 0]

    def _visit(self, index: int) -> tuple[int, float]:
        if self._weights.ndim == 1:
            return super()._visit(index)
        sample, signs = self._features[index], self._signs[index]
        margins_of_units = signs * (sample @ self._weights)
        right = margins_of_units > 0
        if self.tie == "positive":
            right |= (margins_of_units == 0) & (signs > 0)
        if right.all():
            return 0, 0.0
        wrong = ~right
        self._weights[:, wrong] += np.outer(sample, signs[wrong])
        return int(wrong.sum()), -float(margins_of_units[wrong].sum())

    def _score(self, index: int) -> float:
        return float(self._features[index] @ self._weights)

    def _correct(self, index: int) -> None:
        self._weights = self._weights + self._signs[index] * self._features[index]

    def _write(self) -> None:
        bias, weights = int(self._layer.use_bias), self._weights.reshape(len(self._weights), -1)
        self._layer.kernel.assign(weights[: len(weights) - bias])
        if bias:
            self._layer.bias.assign(weights[-1])

    def _state(self) -> dict[str, np.ndarray]:
        return {"weights": self._weights.copy()}

    def _restore(self, arrays: Mapping[str, np.ndarray]) -> None:
        self._weights = arrays["weights"].copy()

    def _find_margins(self) -> list[margins.Margin]:
        signs = self._signs.reshape(len(self._signs), -1)
        found = [margins.find_margin(column[:, np.newaxis] * self._features) for column in signs.T]
        return [one for one in found if one is not None] if None not in found else []
