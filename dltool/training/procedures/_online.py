"""Rules that correct a linear classifier one mistake at a time: what perceptrons have in common."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np

from dltool.data.pipelines.base import Pipeline
from dltool.training.procedures import _margin as margins
from dltool.training.procedures._last_layer import LastLayerProcedure, signs_of

TIES = ("mistake", "positive")
MOST_BOUNDED = 2000  # examples for which the largest margin is computed: that takes seconds there


class OnlineRule(LastLayerProcedure):
    """One sample after another: a sample on the wrong side changes the weights, any other does not.

    A step visits the samples of a batch, one at a time. Training ends after the first epoch without a mistake.

    Args:
        tie: what a score of exactly 0 is: "mistake" for either class, or "positive", class 1 (slide 9).
    """

    examples_as_they_are = "visits each sample as it is"

    def __init__(self, tie: str = "mistake") -> None:
        super().__init__()
        if tie not in TIES:
            name = type(self).__name__
            raise ValueError(f"The 'tie' parameter of {name} must be mistake or positive. Got {tie!r}.")
        self.tie = tie

    def own_arrays(self) -> dict[str, np.ndarray]:
        counts = np.array([self.updates, self.mistakes])
        return {"counts": counts, "started": np.asarray(self._started_at_zero), **self._state()}

    def go_on(self, arrays: Mapping[str, np.ndarray]) -> None:
        self.updates, self.mistakes = (int(count) for count in arrays["counts"])
        self._started_at_zero = bool(arrays["started"])
        self._restore(arrays)

    def remarks(self) -> list[str]:
        """Return whether the rule came to rest, and its number of updates against Novikoff's bound."""
        largest = self._find_margins() if self._signs.size <= MOST_BOUNDED else []
        updates = f"{self.updates} update{'s' * (self.updates != 1)}"
        bound = ""
        if largest and all(one.gamma > 0 for one in largest):
            smallest = min(one.gamma for one in largest)
            bound = (
                f"{sum((one.radius / one.gamma) ** 2 for one in largest):.1f} "
                f"(R = {largest[0].radius:.4g}, gamma = {smallest:.4g})"
            )
            if len(largest) > 1:
                bound = f"summed over {len(largest)} units {bound.removesuffix(')')} at least)"
        if self.mistakes == 0 and self.position.epoch:
            text = f"no mistake in epoch {self.position.epoch}, after {updates}"
            if bound and self._started_at_zero:
                text += f"; Novikoff's bound (R / gamma)^2 is {bound}"
            return [f"{text}."]
        text = f"{self.mistakes} mistakes in epoch {self.position.epoch}, the last, after {updates}."
        if bound:
            return [f"{text} The data are separable, and Novikoff's bound is {bound}: raise fit.epochs."]
        if not largest:
            return [f"{text} The data may not be separable; the weights kept promise nothing."]
        reason = "These features are not linearly separable, so that the rule never comes to rest"
        return [f"{text} {reason}; the weights kept promise nothing."]

    def _begin_fit(self, model: Any, steps_per_epoch: int, epochs: int) -> None:
        super()._begin_fit(model, steps_per_epoch, epochs)
        self.updates, self.mistakes = 0, 0

    def _renew(self) -> None:
        super()._renew()
        assert self.last is not None
        features, targets = self.last.collect(self._train)
        self._signs = signs_of(targets, self.last.layer.units)
        self._begin(self.last.layer, features)
        self._started_at_zero = not any(np.any(array) for array in self._state().values())

    def _begin_epoch(self, number: int) -> None:
        super()._begin_epoch(number)
        if self.position.step == 0:
            self.mistakes = 0

    def _columns(self) -> dict[str, float]:
        return {"mistakes": self.mistakes, "updates": self.updates}

    def _advance(self, at_most: int) -> float:
        train: Pipeline = self._train
        first = self.position.epoch * self.steps + self.position.step
        number, start = divmod(first, train.steps)
        batches = min(at_most, self.steps - self.position.step, train.steps - start)
        order = train.order(self._seed, number)[start * train.batch_size : (start + batches) * train.batch_size]
        loss = 0.0
        for index in order:
            mistakes, cost = self._visit(index)
            self.mistakes += mistakes
            self.updates += mistakes
            loss += cost
        self._write()
        self._count(batches)
        if self.position.step == self.steps:
            self._measure()
            self.model.stop_training |= self.mistakes == 0 and self.steps == train.steps
        return loss / len(order)

    @abstractmethod
    def _begin(self, layer: Any, features: np.ndarray) -> None:
        """Take the layer's weights and the features (examples, features) that it reads."""

    def _visit(self, index: int) -> tuple[int, float]:
        """Correct the weights if a sample is on the wrong side. Return 1 or 0, and how far it is there, maybe NaN."""
        margin = self._signs[index] * self._score(index)
        if margin > 0 or (margin == 0 and self.tie == "positive" and self._signs[index] > 0):
            return 0, 0.0
        self._correct(index)
        return 1, -margin

    @abstractmethod
    def _score(self, index: int) -> float:
        """Return the score of a sample."""

    @abstractmethod
    def _correct(self, index: int) -> None:
        """Change the weights for a sample on the wrong side."""

    @abstractmethod
    def _write(self) -> None:
        """Write the weights into the layer."""

    @abstractmethod
    def _state(self) -> dict[str, np.ndarray]:
        """Return the weights, all 0 where nothing was learned."""

    @abstractmethod
    def _restore(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Take back what `_state` returned."""

    @abstractmethod
    def _find_margins(self) -> list[margins.Margin]:
        """Return the largest margin of the samples for each unit, none where it is not known."""
