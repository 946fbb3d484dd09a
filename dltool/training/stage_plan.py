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

KEYS = {  # procedure -> what a stage of it may say
    "Stages": ("trainable", "epochs", "learning_rate"),
    "Greedy": ("layer", "objective", "decoder", "trainable", "epochs", "learning_rate", "optimizer"),
}
EXAMPLES = {
    "Stages": "{trainable: 'dense*', epochs: 3}",
    "Greedy": "{layer: dense, objective: Autoencoder, epochs: 3}",
}


@dataclass(frozen=True)
class Stage:
    """A stage of training.

    Args:
        trainable: globs of the layers that learn, over names and paths.
        epochs: int > 0.
        learning_rate: by the steps of the stage, counted from its start; None for the optimizer's own.
        objective: what the one layer of `trainable` learns by itself; None: all learn by the model's loss.
        decoder: the layer that gets the objective's decoder at the end.
        optimizer: of this stage; None for the recipe's.
    """

    trainable: tuple[str, ...]
    epochs: int
    learning_rate: Schedule | None
    objective: Any = None
    decoder: str | None = None
    optimizer: Any = None


def stages_of(given: Any, owner: str = "Stages") -> list[Stage]:
    """Return stages from mappings {trainable: glob or globs, epochs: int, learning_rate: number or schedule}.

    Args:
        owner: the procedure, which knows further keys.
    Raises:
        ValueError: the list does not describe stages.
    """
    found = []
    for index, one in enumerate(checks.listed(owner, "stages", given)):
        try:
            found.append(_stage(one, owner))
        except ValueError as error:
            raise ValueError(f"stages[{index}]: {error}") from error
    return found


def _stage(given: Any, owner: str) -> Stage:
    if not isinstance(given, Mapping) or "epochs" not in given:
        raise checks.wrong(owner, "stages", f"a list of mappings such as {EXAMPLES[owner]}", given)
    unknown = [key for key in given if key not in KEYS[owner]]
    if unknown:
        raise ValueError(f"a stage has no '{unknown[0]}'. It has: {', '.join(KEYS[owner])}.")
    layer, objective, decoder = given.get("layer"), given.get("objective"), given.get("decoder")
    if (layer is None) != (objective is None):
        there, missing = ("layer", "objective") if objective is None else ("objective", "layer")
        raise ValueError(f"a stage with '{there}' needs '{missing}', too.")
    if layer is None and decoder is not None:
        raise ValueError("'decoder' stands with 'layer' and 'objective' only. Remove it.")
    if layer is not None and "trainable" in given:
        raise ValueError("a stage has 'layer' or 'trainable', not both.")
    for key, name in (("layer", layer), ("decoder", decoder)):
        if name is not None and (not isinstance(name, str) or not name):
            raise checks.wrong(owner, key, "the name of a layer", name)
    globs = given.get("trainable", layer or "*")
    globs = [globs] if isinstance(globs, str) else globs
    if not isinstance(globs, list | tuple) or not globs or not all(isinstance(one, str) and one for one in globs):
        raise checks.wrong(owner, "trainable", "a glob of layers or a list of them", given["trainable"])
    rate = given.get("learning_rate")
    return Stage(
        tuple(globs),
        checks.integer(owner, "epochs", given["epochs"], 1),
        None if rate is None else schedule_of(owner, "learning_rate", rate),
        objective,
        decoder,
        given.get("optimizer"),
    )


def rate_of_all(stages: Sequence[Stage], own: Sequence[Schedule], steps_per_epoch: int) -> Schedule:
    """Return the learning rate over the whole training.

    Args:
        own: each stage's optimizer's, of stages without one.
    """
    rates = [stage.learning_rate or rate for stage, rate in zip(stages, own, strict=True)]
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
