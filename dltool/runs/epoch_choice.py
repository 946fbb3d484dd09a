"""Which figure chooses the epoch that is kept: the one that the recipe selects by, or that a callback restores by."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from dltool.errors import Place, Problem, RecipeError
from dltool.runs.selection import Selector

if TYPE_CHECKING:
    from dltool.recipe.reading import Recipe

BY = {"min": "lowest", "max": "highest"}


class EpochChoice:
    """One chooser of the epoch that is kept, for select, EarlyStopping and the default.

    `select` decides; without it an EarlyStopping that restores the best weights does, with its `min_delta` and
    `start_from_epoch`; without that the lowest val_loss does, or nothing where there is no validation split. Callbacks
    restore nothing themselves, so that the weights that are kept are those that the results name.

    Args:
        model: compiled, its metrics built.
        callbacks: those of `fit.callbacks`, in order.
        validated: whether there is a validation split.
        check: raises where a monitor is not measured; of its name, place and path.
    Raises:
        RecipeError: it is not known whether the figure is to fall or to rise, or a monitor is not measured.
    """

    def __init__(
        self,
        recipe: Recipe,
        model: Any,
        callbacks: Sequence[Any],
        validated: bool,
        check: Callable[[str, Place, str], None],
    ) -> None:
        import keras

        self.recipe, self.model, self.callbacks = recipe, model, callbacks
        stopping = [
            index for index, callback in enumerate(callbacks) if isinstance(callback, keras.callbacks.EarlyStopping)
        ]
        self._restoring = [index for index in stopping if callbacks[index].restore_best_weights]
        self._judging = stopping + [
            index
            for index, callback in enumerate(callbacks)
            if isinstance(callback, keras.callbacks.ModelCheckpoint) and callback.save_best_only
        ]
        self.selector = self._selector(validated, check)
        self.notes = [*self._notes()]
        for index in self._restoring:
            callbacks[index].restore_best_weights = False

    def _selector(self, validated: bool, check: Callable[[str, Place, str], None]) -> Selector:
        asked = self.recipe.get("select", "monitor")
        if asked is not None:
            check(asked.data, asked.place, "select.monitor")
            mode = self.recipe.setting("select", "mode")
            message = "set select.mode to min or max"
            return Selector(asked.data, mode or self._direction(asked.data, asked.place, "select.monitor", message))
        if self._restoring:
            index = self._restoring[0]
            callback, place = self.callbacks[index], self._place(index)
            check(callback.monitor, place, f"fit.callbacks[{index}]")
            mode = self._mode(index)
            return Selector(callback.monitor, mode, callback.min_delta, callback.start_from_epoch)
        return Selector("val_loss" if validated else None, "min")

    def _notes(self) -> list[str]:
        """Return a line for each callback that judges epochs by another figure than the chooser."""
        chooser, notes = self.selector, []
        for index in sorted(self._judging):
            callback = self.callbacks[index]
            if chooser.monitor is None or getattr(callback, "save_freq", "epoch") != "epoch":
                continue
            mode = self._mode(index)
            if (callback.monitor, mode) != (chooser.monitor, chooser.mode):
                does = "restores" if index in self._restoring else "stops"
                does = "saves" if hasattr(callback, "save_best_only") else does
                name = f"fit.callbacks[{index}].{type(callback).__name__}"
                notes.append(
                    f"{name} {does} by the {BY[mode]} {callback.monitor}, but the model that is kept is that of the "
                    f"{BY[chooser.mode]} {chooser.monitor}. To change it, set select.monitor."
                )
        return notes

    def _mode(self, index: int) -> str:
        """Return how a callback judges its figure: "min" or "max"."""
        callback = self.callbacks[index]
        if callback.mode in BY:
            return str(callback.mode)
        path = f"fit.callbacks[{index}].{type(callback).__name__}"
        return self._direction(callback.monitor, self._place(index), path, "set its mode to min or max")

    def _direction(self, monitor: str, place: Place, path: str, remedy: str) -> str:
        """Return how Keras's own callbacks judge a figure: "min" or "max"."""
        from dltool.graph import keras_internals

        try:
            return keras_internals.direction_of(monitor, self.model)
        except ValueError:
            message = f"it is not known whether '{monitor}' is to fall or to rise: {remedy}"
            raise RecipeError([Problem(place, path, message)]) from None

    def _place(self, index: int) -> Place:
        found: Place = self.recipe.section("fit", "callbacks").data[index].place
        return found


def check_averaging(recipe: Recipe, model: Any, callbacks: Sequence[Any], selector: Selector) -> None:
    """Raise unless averaged weights are judged before they are kept.

    Raises:
        RecipeError: Keras would average weights at the end only, after another choice of the best epoch, or there is
            nothing to swap.
    """
    from dltool.training.averages import averaging

    swapping = [index for index, one in enumerate(callbacks) if type(one).__name__ == "SwapEMAWeights"]
    averages = bool(averaging(model.optimizer))
    if averages and selector.monitor is not None and not swapping:
        message = (
            "use_ema averages weights at the end of training only, but the model of the best epoch is kept: add "
            "SwapEMAWeights to fit.callbacks, so that epochs are judged with averages."
        )
        raise RecipeError([Problem(recipe.section("compile", "optimizer").place, "compile.optimizer", message)])
    if swapping and not averages:
        place = recipe.section("fit", "callbacks").data[swapping[0]].place
        message = "the optimizer averages no weights. Set use_ema: true in compile.optimizer, or remove this."
        raise RecipeError([Problem(place, f"fit.callbacks[{swapping[0]}].SwapEMAWeights", message)])
