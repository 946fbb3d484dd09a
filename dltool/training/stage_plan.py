"""Stages of training: which layers learn, how long, at which rate; plain data, without TensorFlow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dltool.library.schedules import _checks as checks
from dltool.library.schedules._base import Schedule
from dltool.library.schedules.chain import Chain
from dltool.library.schedules.constant import schedule_of

KEYS = ("trainable", "epochs", "learning_rate")


@dataclass(frozen=True)
class Stage:
    """A stage of training.

    Args:
        trainable: globs of the layers that learn, over names and paths.
        epochs: int > 0.
        learning_rate: by the steps of the stage, counted from its start; None for the optimizer's own.
    """

    trainable: tuple[str, ...]
    epochs: int
    learning_rate: Schedule | None


def stages_of(given: Any) -> list[Stage]:
    """Return stages from mappings {trainable: glob or globs, epochs: int, learning_rate: number or schedule}.

    Raises:
        ValueError: the list does not describe stages.
    """
    found = []
    for index, one in enumerate(checks.listed("Stages", "stages", given)):
        try:
            found.append(_stage(one))
        except ValueError as error:
            raise ValueError(f"stages[{index}]: {error}") from error
    return found


def _stage(given: Any) -> Stage:
    if not isinstance(given, Mapping) or "epochs" not in given:
        raise checks.wrong("Stages", "stages", "a list of mappings such as {trainable: 'dense*', epochs: 3}", given)
    unknown = [key for key in given if key not in KEYS]
    if unknown:
        raise ValueError(f"a stage has no '{unknown[0]}'. It has: {', '.join(KEYS)}.")
    globs = given.get("trainable", "*")
    globs = [globs] if isinstance(globs, str) else globs
    if not isinstance(globs, list | tuple) or not globs or not all(isinstance(one, str) and one for one in globs):
        raise checks.wrong("Stages", "trainable", "a glob of layers or a list of them", given["trainable"])
    rate = given.get("learning_rate")
    return Stage(
        tuple(globs),
        checks.integer("Stages", "epochs", given["epochs"], 1),
        None if rate is None else schedule_of("Stages", "learning_rate", rate),
    )


def rate_of_all(stages: Sequence[Stage], own: Schedule, steps_per_epoch: int) -> Schedule:
    """Return the learning rate over the whole training.

    Args:
        own: the optimizer's, of stages without one.
    """
    rates = [stage.learning_rate or own for stage in stages]
    ends = np.cumsum([stage.epochs * steps_per_epoch for stage in stages])
    return Chain(rates, ends[:-1].tolist()) if len(stages) > 1 else rates[0]


class Later(Schedule):
    """A schedule from a later step on: rate(step) = schedule(first + step).

    Args:
        schedule: the schedule.
        first: its step that is step 0 here.
    """

    def __init__(self, schedule: Schedule, first: int) -> None:
        self.schedule, self.first = schedule, first

    def values(self, step: np.ndarray) -> np.ndarray:
        return self.schedule.values(step + self.first)
