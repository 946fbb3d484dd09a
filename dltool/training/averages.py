"""Averages of weights that an optimizer keeps (`use_ema`): when a model holds them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import keras

from dltool.graph import keras_internals


class Averages:
    """Puts averaged weights into a model where it is judged, for which `SwapEMAWeights` among the callbacks asks.

    From an epoch's validation until its last callback the model then holds its averages, so that what is judged is
    what is kept and saved; Keras's own swapping (`swap_on_epoch` in either setting) would give callbacks before it
    other weights than those after it, round weights, and lose those that training goes on from in the last epoch.

    Args:
        model: compiled.
        callbacks: of a training.
    Reference: Polyak & Juditsky, 1992, Acceleration of stochastic approximation by averaging.
    """

    def __init__(self, model: Any, callbacks: Sequence[Any]) -> None:
        self.model = model
        self.swapped = False
        self.asked = any(isinstance(callback, keras.callbacks.SwapEMAWeights) for callback in callbacks)

    @contextmanager
    def in_model(self, wanted: bool = True) -> Iterator[None]:
        """Let the model hold its averages, or the weights that are trained, while the block runs."""
        if not self.asked or self.swapped is wanted:
            yield
            return
        self._swap()
        try:
            yield
        finally:
            self._swap()

    def go_on(self, callbacks: Sequence[Any]) -> None:
        """Put trained weights back into a restored model whose state an earlier version saved with its averages."""
        for callback in callbacks:
            if keras_internals.drop_swapped_mark(callback):
                self._swap()
                self.swapped = False

    def _swap(self) -> None:
        for optimizer in averaging(self.model.optimizer):
            for variable, average in keras_internals.average_pairs(optimizer):
                if average is not None:
                    held = keras.ops.copy(variable.value)
                    variable.assign(average.value)
                    average.assign(held)
        self.swapped = not self.swapped


def averaging(optimizer: Any) -> list[Any]:
    """Return the optimizers that average weights: this one, or those within it."""
    inner = keras_internals.inner_optimizer(optimizer)
    return [one for one in getattr(inner, "optimizers", [inner]) if getattr(one, "use_ema", False)]


def without_swapping(callbacks: Sequence[Any]) -> list[Any]:
    """Return the callbacks less those whose work `Averages` does."""
    return [callback for callback in callbacks if not isinstance(callback, keras.callbacks.SwapEMAWeights)]
