"""The saved training state: the one place that knows the layout of `checkpoint/state.npz`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dltool.runs.directory import STATE, RunDirectory

if TYPE_CHECKING:
    from dltool.training.training_state import TrainingState


@dataclass
class SavedState:
    """A training state as it lies on disk.

    Args:
        state: the snapshot of training.
        selected: plain values of the `Selector`: the best epoch so far, and the file of its weights.
        rate: the recipe's learning rate at the time; None stands for the recipe's own.
    """

    state: TrainingState
    selected: dict[str, Any]
    rate: Any = None

    def write(self, run: RunDirectory) -> None:
        """Write the state into a run, whole or not at all."""
        state = self.state
        plain = {
            "position": vars(state.position),
            "callbacks": state.callbacks,
            "history": state.history,
            "stopped": state.stopped,
            "selected": self.selected,
            "rate": self.rate,
        }
        run.save_state(state.arrays, plain)


def exists(run: RunDirectory) -> bool:
    """Return whether a run has a saved state."""
    return (run / STATE).is_file()


def read(run: RunDirectory) -> SavedState:
    """Read the state that a run has saved.

    Raises:
        DataError: there is none, or it is damaged.
    """
    from dltool.training.training_state import Position, TrainingState

    arrays, plain = run.load_state()
    with run.reading(STATE):
        position = Position(**plain["position"])
        state = TrainingState(position, arrays, plain["callbacks"], plain["history"], plain["stopped"])
        return SavedState(state, plain["selected"], plain["rate"])


def read_position(run: RunDirectory) -> dict[str, Any] | None:
    """Return how far training has come: epoch, step and total_steps, or None where there is no saved state.

    Raises:
        DataError: it is damaged.
    """
    if not exists(run):
        return None
    with run.reading(STATE):
        position = run.load_plain()["position"]
        return {name: int(position[name]) for name in ("epoch", "step", "total_steps")}
