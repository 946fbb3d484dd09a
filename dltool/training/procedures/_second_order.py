"""The base of procedures that take one step over the whole training data an epoch, of the loss as a plain function."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dltool.data.pipelines.base import Pipeline
from dltool.errors import messages
from dltool.training.counting import reads_indices
from dltool.training.objective import Objective, problem_of_model
from dltool.training.procedures._procedure import Procedure, UnfitSetting
from dltool.training.procedures.gradient_descent import sample_weights


class SecondOrder(Procedure):
    """Outer iterations on J(w), the mean loss of all training examples plus penalties: one an epoch.

    The order of examples means nothing, nor does fit.batch_size except for how many are computed at once. Training
    ends once the Euclidean norm of the gradient is at most `gradient_tolerance`, or no step lowers J any more.

    A subclass says in `_iterate` what an iteration does: it leaves new weights, `value` and `gradient` there, and
    `columns` of the history. It names in `MEMORY` the attributes, numbers or arrays or None, that the next iteration
    needs.
    """

    MEMORY: tuple[str, ...] = ()

    def __init__(self, gradient_tolerance: float = 1e-5, batch_size: int | None = None) -> None:
        self.gradient_tolerance = check_number(self, "gradient_tolerance", gradient_tolerance, 0)
        self.batch_size = batch_size if batch_size is None else check_count(self, "batch_size", batch_size)
        self.value = np.inf
        self.gradient: Any = None  # float64 (weights,)
        self.columns: dict[str, float] = {}
        self._fresh: dict[str, Any] | None = None  # the memory before any fit

    def prepare(
        self,
        model: Any,
        steps_per_epoch: int,
        load: Callable[[Path], Any] | None = None,
        class_names: Sequence[str] | None = None,
    ) -> None:
        """Check that the loss of a compiled model is a function of its weights; arguments as of `Procedure`.

        Raises:
            ValueError: a layer makes it random or dependent on batches.
        """
        if (problem := problem_of_model(model)) is not None:
            raise ValueError(f"needs a loss that depends on the weights alone, but {problem}. Remove the layer")

    def figures(self) -> dict[str, float]:
        return dict(self._figures)

    def own_arrays(self) -> dict[str, np.ndarray]:
        kept = {name: getattr(self, name) for name in ("value", "gradient", *self.MEMORY)}
        return {name: np.array(value) for name, value in kept.items() if value is not None}

    def go_on(self, arrays: Mapping[str, np.ndarray]) -> None:
        for name in ("value", "gradient", *self.MEMORY):
            if (array := arrays.get(name)) is not None:
                setattr(self, name, array if array.ndim else array.item())

    def _begin_fit(self, model: Any, steps_per_epoch: int, epochs: int) -> None:
        """Forget an earlier fit."""
        names = ("value", "gradient", *self.MEMORY)
        if self._fresh is None:
            self._fresh = {name: getattr(self, name) for name in names}
        vars(self).update(self._fresh)

    def _steps_of_epoch(self, train: Pipeline, asked: int | None) -> int:
        if asked is not None:
            message = f"an epoch of {type(self).__name__} is one step over all training data. Remove it"
            raise UnfitSetting(("fit", "steps_per_epoch"), message)
        return 1

    def _columns(self) -> dict[str, float]:
        return self.columns

    def _renew(self) -> None:
        if self.augment is not None:
            message = f"the training data of {type(self).__name__} must be the same at each step. Remove it"
            raise UnfitSetting(("data", "augment"), message)
        weights, indices = self._execution[0], reads_indices(self.model.loss)
        weigh = None if weights is None else functools.partial(sample_weights, weights, indices=indices)
        self.objective = Objective(self.model, self._train, self.batch_size, weigh)
        self._figures: dict[str, float] = {}
        self._begin()

    def _begin(self) -> None:
        """Called once the objective is there: check that the method suits it."""

    def _start_steps(self) -> None:
        if self.gradient is None:
            self.value, self.gradient = self._evaluate()
            self._check_finite(self.value, "loss")

    def _advance(self, at_most: int) -> float:
        self.columns = {}
        if not self._has_converged():
            if not self._iterate():
                self._end(f"no step lowers {self.merit} any more")
            elif np.isfinite(self.value) and self._has_converged():
                norm = f"{self.norm:.3g}"
                self._end(f"converged: the gradient's norm is {norm} (gradient_tolerance {self.gradient_tolerance:g})")
        else:
            self._end(
                f"the gradient's norm is {self.norm:.3g} already (gradient_tolerance {self.gradient_tolerance:g})"
            )
        self.columns["gradient_norm"] = self.norm
        self._figures = {"loss": self.value}
        if np.isfinite(self.value) and len(self.model.metrics) > 1:
            self._figures = {**self.evaluation.run(self.objective.pipeline), "loss": self.value}
        self._count(1)
        return self.value

    merit = "the loss"  # what steps lower, in messages

    def _iterate(self) -> bool:
        """Take a step: set weights, `value`, `gradient` and `columns`. Return whether there was one to take."""
        raise NotImplementedError

    def _evaluate(self, weights: np.ndarray | None = None) -> tuple[float, np.ndarray]:
        """Return value and gradient at weights, by default the model's."""
        return self.objective.value_and_gradient(weights)

    @property
    def norm(self) -> float:
        """The Euclidean norm of the gradient."""
        return float(np.linalg.norm(self.gradient))

    def _has_converged(self) -> bool:
        return self.norm <= self.gradient_tolerance

    def _end(self, why: str) -> None:
        self.model.stop_training = True
        messages.say(f"epoch {self.position.epoch + 1}: {why}. Training ends.")


def check_count(owner: Any, name: str, value: Any) -> int:
    """Return an int >= 1, or raise `ValueError`."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(
            f"The '{name}' parameter of {type(owner).__name__} must be an int >= 1. Got {value!r} instead."
        )
    return value


def check_number(owner: Any, name: str, value: Any, low: float, high: float = np.inf) -> float:
    """Return a finite number from `low` to `high`, or raise `ValueError`."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high or np.isinf(value):
        wanted = f"a number >= {low:g}" if np.isinf(high) else f"a number in [{low:g}, {high:g}]"
        raise ValueError(f"The '{name}' parameter of {type(owner).__name__} must be {wanted}. Got {value!r} instead.")
    return float(value)
