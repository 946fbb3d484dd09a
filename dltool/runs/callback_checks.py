"""Checks of a recipe's callbacks against the training that they will see, reported at their lines."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from dltool.errors import Place, Problem, RecipeError, suggest
from dltool.recipe import callback_paths

if TYPE_CHECKING:
    from dltool.runs.preparation import Preparation


class CallbackChecks:
    """What callbacks rely on: figures that are measured, layers that are there, a learning rate that is a number.

    Args:
        prepared: the model, ready for its first step.
    """

    def __init__(self, prepared: Preparation) -> None:
        self.prepared, self.recipe, self.model = prepared, prepared.recipe, prepared.model
        self.has_validation = prepared.validation is not None
        self.figures = [*prepared.logs, *(f"val_{name}" for name in prepared.logs if self.has_validation)]
        self.figures += [metric.name for metric in prepared.procedure.metrics]

    def check(self, callbacks: Sequence[Any]) -> None:
        """Raise if a callback does not fit the training.

        Args:
            callbacks: those of `fit.callbacks`, in order.
        Raises:
            RecipeError: some do not, each at its line.
        """
        problems = []
        for index, callback in enumerate(callbacks):
            place = self.recipe.section("fit", "callbacks").data[index].place
            path = f"fit.callbacks[{index}].{type(callback).__name__}"
            problems += [Problem(place, path, message) for message in self._problems(callback)]
        if problems:
            raise RecipeError(problems)

    def check_monitor(self, monitor: str, place: Place, path: str) -> None:
        """Raise `RecipeError` if a figure is not measured."""
        if (message := self._problem_of_monitor(monitor)) is not None:
            raise RecipeError([Problem(place, path, message)])

    def _problems(self, callback: Any) -> Iterator[str]:
        import keras

        from dltool.library.callbacks._periodic import PeriodicCallback

        names = self._names_in(callback)
        if fault := callback_paths.fault_of_names(getattr(callback, "filepath", ""), names):
            yield fault
        if isinstance(callback, PeriodicCallback):
            try:
                callback.set_model(self.model)
            except ValueError as error:
                yield str(error)
        if isinstance(callback, keras.callbacks.TensorBoard) and importlib.util.find_spec("tensorboard") is None:
            yield "needs the package tensorboard: pip install tensorboard, or remove it."
        if isinstance(callback, keras.callbacks.ReduceLROnPlateau) and not self._rate_is_a_number():
            yield "changes a learning rate that is a number; this recipe's is a schedule. Remove one of them."
        saves_all = isinstance(callback, keras.callbacks.ModelCheckpoint) and not callback.save_best_only
        monitor = getattr(callback, "monitor", None)
        is_read = isinstance(monitor, str) and getattr(callback, "save_freq", "epoch") == "epoch" and not saves_all
        if is_read and (message := self._problem_of_monitor(str(monitor))) is not None:
            yield message

    def _problem_of_monitor(self, monitor: str) -> str | None:
        if monitor in self.figures:
            return None
        why = suggest(monitor, self.figures)
        if monitor.startswith("val_") and not self.has_validation:
            why = " The data have no validation split: set data.validation_split."
        return f"monitors '{monitor}', which is not measured.{why} Measured: {', '.join(self.figures)}."

    def _names_in(self, callback: Any) -> dict[str, float]:
        """Return a number for each name that a path of the callback may hold."""
        logs = self.prepared.logs
        names = {"epoch": 1, **dict.fromkeys(logs, 0.5)}
        names |= {metric.name: 0.5 for metric in self.prepared.procedure.metrics}
        if getattr(callback, "save_freq", "epoch") != "epoch":
            return names | {"batch": 1}
        every_epoch = self.has_validation and self.recipe.setting("fit", "validation_freq") in (None, 1)
        return names | {f"val_{name}": 0.5 for name in logs if every_epoch}

    def _rate_is_a_number(self) -> bool:
        import keras

        from dltool.graph import keras_internals

        rate = keras_internals.learning_rate(keras_internals.inner_optimizer(self.model.optimizer))
        return not isinstance(rate, keras.optimizers.schedules.LearningRateSchedule)
