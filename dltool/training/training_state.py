"""Everything that training goes on from: captured as arrays and plain values, and put back bit for bit."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from dltool.graph import recurrent_state

SCALARS = (bool, int, float, str, type(None))
OF_A_SESSION = frozenset({"params", "append_header"})  # attributes of callbacks that belong to one session
PROCEDURE = "procedure/"  # before the names of a procedure's own arrays


@dataclass
class Position:
    """How far training has come.

    Args:
        epoch: complete epochs.
        step: batches done of the epoch under way.
        total_steps: batches done since the beginning.
        seconds: training time so far, of all sessions.
        epoch_seconds: of that, in the epoch under way.
    """

    epoch: int = 0
    step: int = 0
    total_steps: int = 0
    seconds: float = 0.0
    epoch_seconds: float = 0.0


@dataclass
class TrainingState:
    """A snapshot of training.

    Args:
        position: how far training has come.
        arrays: variables of model, optimizer, metrics and augmentation, states that recurrent layers keep, and what
            callbacks and the procedure keep.
        callbacks: plain attributes of each callback, in order.
        history: a row an epoch.
        stopped: whether a callback has ended training.
    """

    position: Position
    arrays: dict[str, np.ndarray]
    callbacks: list[dict[str, Any]]
    history: list[dict[str, float]] = field(default_factory=list)
    stopped: bool = False


def variables(model: Any, augment: Any | None) -> dict[str, Any]:
    """Return every variable of training under a name that is the same in each process."""
    groups = {"model": model.variables, "optimizer": model.optimizer.variables}
    groups["metrics"] = [variable for metric in model.metrics for variable in metric.variables]
    groups["state"] = recurrent_state.variables(model)
    groups["augment"] = augment.variables if augment is not None else []
    return {f"{group}/{index}": v for group, members in groups.items() for index, v in enumerate(members)}


def capture_arrays(model: Any, augment: Any | None, callbacks: Sequence[Any]) -> dict[str, np.ndarray]:
    arrays = {name: np.asarray(variable) for name, variable in variables(model, augment).items()}
    for index, callback in enumerate(callbacks):
        for name, value in _own(callback).items():
            for position, array in enumerate(_arrays(value)):
                arrays[f"callback/{index}/{name}/{position}"] = array
    return arrays


def as_part(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return a procedure's own arrays under their names in a state."""
    return {f"{PROCEDURE}{name}": array for name, array in arrays.items()}


def own_part(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the arrays that `as_part` received."""
    return {name.removeprefix(PROCEDURE): array for name, array in arrays.items() if name.startswith(PROCEDURE)}


def capture_callbacks(callbacks: Sequence[Any]) -> list[dict[str, Any]]:
    """Return counters, best scores and other plain attributes of callbacks, lists and dicts included."""
    return [{name: _plain(value) for name, value in _own(c).items() if _is_plain(value)} for c in callbacks]


def restore(state: TrainingState, model: Any, augment: Any | None, callbacks: Sequence[Any]) -> None:
    """Put a snapshot back; call it after `on_train_begin`, which resets callbacks.

    Raises:
        ValueError: the snapshot is of another model, optimizer or list of callbacks.
    """
    own = variables(model, augment)
    saved = {name: array for name, array in state.arrays.items() if not name.startswith(("callback/", PROCEDURE))}
    if own.keys() != saved.keys() or len(callbacks) != len(state.callbacks):
        raise ValueError("the saved training state is of another model, optimizer or list of callbacks")
    for name, variable in own.items():
        array = saved[name]
        if tuple(variable.shape) != array.shape:
            raise ValueError(f"the saved training state is of another model: {variable.path} has another shape")
        variable.assign(array)
    for index, (callback, plain) in enumerate(zip(callbacks, state.callbacks, strict=True)):
        vars(callback).update(plain)
        kept: dict[str, list[np.ndarray]] = {}
        for name, array in state.arrays.items():
            if name.startswith(f"callback/{index}/"):
                kept.setdefault(name.split("/")[2], []).append(array)
        vars(callback).update(kept)


def _own(callback: Any) -> dict[str, Any]:
    """Return a callback's gathered state: its attributes without arguments, which the recipe gives again."""
    arguments = {*inspect.signature(type(callback).__init__).parameters, *OF_A_SESSION}
    return {name: value for name, value in vars(callback).items() if name not in arguments}


def _is_plain(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return all(map(_is_plain, value))
    if isinstance(value, dict):
        return all(isinstance(key, SCALARS) and _is_plain(item) for key, item in value.items())
    return isinstance(value, (*SCALARS, np.number, np.bool_))


def _plain(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return value.item() if isinstance(value, np.generic) else value


def _arrays(value: Any) -> list[np.ndarray]:
    """Return the value as arrays if it is a non-empty list of them, like EarlyStopping's best weights."""
    if isinstance(value, list) and value and all(isinstance(item, np.ndarray) for item in value):
        return value
    return []
