"""The plan of a recipe's optimizer at every step, without data in memory and without Keras."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from dltool.errors import DataError, Problem, RecipeError, UsageError
from dltool.library.schedules import _ranges as ranges
from dltool.library.schedules._base import Schedule
from dltool.library.schedules.constant import Constant
from dltool.lr_schedule import plateau
from dltool.recipe import build, catalogue, data_facts, declarations, module_outlines, overrides, reading
from dltool.recipe import stages as stage_list
from dltool.recipe.absent_data import stand_in
from dltool.recipe.builder import EPOCHS, UNKNOWN, Builder
from dltool.recipe.data import DEFAULT_BATCH_SIZE
from dltool.recipe.reading import Recipe, Value
from dltool.recipe.signatures import UNREADABLE, Outlined
from dltool.runs import directory, opened
from dltool.runs.opened import OpenedRun
from dltool.training.stage_plan import Stage, rate_of_all, stages_of

ENDLESS = 10_000  # steps shown of a schedule without an end of its own
WINDOW = 2**20  # steps whose values are looked at together


@dataclass(frozen=True)
class Plan:
    """The course of an optimizer's scheduled arguments.

    Args:
        label: the source as the user named it, with its overrides.
        steps: of the whole training, int > 0.
        steps_per_epoch: None where there are no epochs: a schedule alone.
        schedules: "learning_rate", and "momentum", "beta_1" and "weight_decay" where they follow schedules.
        plateaus: the arguments of each `ReduceLROnPlateau` that the recipe has.
        run: the run that the source is.
    """

    label: str
    steps: int
    steps_per_epoch: int | None
    schedules: dict[str, Schedule]
    plateaus: tuple[dict[str, Any], ...] = ()
    run: OpenedRun | None = None

    def epoch(self, step: float) -> float | None:
        """Epochs done before a step."""
        return None if self.steps_per_epoch is None else step / self.steps_per_epoch


def of_recipe(source: str, changed: Sequence[str], label: str) -> Plan:
    """Return the plan of a recipe or a run.

    Raises:
        RecipeError: something is wrong with the dataset, the optimizer, or its schedules.
        UsageError, DataError: the recipe does not exist, or its data cannot be read.
    """
    run = OpenedRun(source) if opened.is_run(source) else None
    recipe, problems = reading.read(opened.recipe_file(source), changed)
    recorded = _recorded(recipe, run)
    dataset = _checked(recipe, problems, recorded is None)
    if not declarations.uses_optimizer(recipe.procedure):
        raise UsageError(f"{label}: the recipe's procedure {recipe.procedure} has no learning rate.")
    steps = _steps_per_epoch(recipe, dataset, recorded)
    total = steps * recipe.epochs
    epochs = recipe.get("fit", "epochs")
    builder = Builder(
        _facts(recipe, dataset, recorded), steps, makers={"optimizers": _maker(total)}, find=catalogue.find_light
    )
    if epochs is not None:
        builder.attempt(lambda: ranges.check_length(total), epochs, "fit.epochs")
        builder.finish()
    value = recipe.section("compile", "optimizer")
    optimizer = builder.build("optimizers", value, "compile.optimizer")
    plateaus = _plateaus(recipe, builder)
    stages = _stages(recipe, builder)
    builder.finish()
    if isinstance(optimizer, str):
        optimizer = catalogue.of_word("optimizers", optimizer)()
    while (inner := optimizer.arguments.get("inner_optimizer")) is not None:
        optimizer = catalogue.of_word("optimizers", inner)() if isinstance(inner, str) else inner
    schedules = _schedules(optimizer, value)
    if stages:
        rates = [_rate_of(stage.optimizer, schedules["learning_rate"], value) for stage in stages]
        schedules["learning_rate"] = rate_of_all(stages, rates, steps)
        where = f"procedure.{recipe.procedure}"
        builder.attempt(lambda: check("learning_rate", schedules["learning_rate"], total), value, where)
        builder.finish()
    return Plan(label, total, steps, schedules, plateaus, run)


def of_schedule(
    text: str, changed: Sequence[str], label: str, steps: int | None, epochs: float | None, steps_per_epoch: int | None
) -> Plan:
    """Return the plan of a schedule in words.

    For example 'CosineDecay: {initial_learning_rate: 0.1, decay_steps: 1000}'.

    Args:
        steps: how many; by default epochs * steps_per_epoch, else the schedule's own length.
        epochs: how many, with `steps_per_epoch`.
        steps_per_epoch: what "12 epochs" stand for.
    Raises:
        RecipeError: it is not a schedule, or has more than `ranges.MOST_STEPS` steps.
        UsageError: the epochs are not at least one step.
    """
    value = reading.from_text(text, "schedule")
    problems: list[Problem] = []
    for number, change in enumerate(changed, start=1):
        try:
            value = overrides.apply(value, change, number)
        except RecipeError as error:
            problems += error.problems
    builder = Builder({}, steps_per_epoch, find=catalogue.find_light)
    builder.problems += problems
    if steps_per_epoch is None:
        for path, one in value.walk():
            if isinstance(one.data, str) and EPOCHS.fullmatch(one.data):
                builder.problem(one.place, path, f"{one.data!r} needs the steps of one: give --steps-per-epoch.")
    schedule = builder.build("schedules", value, "")
    builder.finish()
    if steps is None and epochs is not None and steps_per_epoch is not None:
        steps = _steps_of(epochs, steps_per_epoch)
    if steps is None:
        steps = ENDLESS if schedule.length is None else max(schedule.length, 1)
    builder.attempt(lambda: check("learning_rate", schedule, steps), value, "")
    builder.finish()
    return Plan(label, steps, steps_per_epoch, {"learning_rate": schedule})


def _steps_of(epochs: float, steps_per_epoch: int) -> int:
    steps = epochs * steps_per_epoch
    if not math.isfinite(steps) or round(steps) < 1:
        least = 1 / steps_per_epoch
        message = f"--epochs: must be a finite number that makes at least one step, {least:.3g} or more"
        raise UsageError(f"{message}. Got {epochs:g}.")
    return round(steps)


def check(argument: str, schedule: Schedule, steps: int) -> None:
    """Raise ValueError if a training is too long, or the optimizer cannot use a value."""
    import numpy as np

    ranges.check_length(steps)
    for first in range(0, steps, WINDOW):
        ranges.check(argument, schedule(np.arange(first, min(first + WINDOW, steps))), first)


def _recorded(recipe: Recipe, run: OpenedRun | None) -> dict[str, Any] | None:
    """Return the facts of a run's data if the recipe still names the same data and splits.

    The data may be gone since.
    """
    if run is None or not (run.directory / directory.DATA).is_file() or recipe.get("data") is None:
        return None
    return run.facts if run.recipe.section("data").plain() == recipe.section("data").plain() else None


def _checked(recipe: Recipe, problems: list[Problem], needs_data: bool) -> Any:
    """Return the recipe's dataset.

    Return None if it is not needed, or if fit.steps_per_epoch replaces a missing file.
    """
    builder = Builder(None, makers={"optimizers": _maker(1)}, find=catalogue.find_light)
    builder.problems += problems
    dataset = None
    if needs_data and (value := recipe.get("data", "dataset")) is not None:
        found = Builder({}, find=catalogue.find_light)
        dataset = found.build("datasets", value, "data.dataset")
        absent = builder.attempt(lambda: stand_in(recipe, found.cause), value, "data.dataset")
        if absent is not None:
            dataset = absent
        elif isinstance(found.cause, OSError) and recipe.setting("fit", "steps_per_epoch") is not None:
            dataset = None
        else:
            builder.problems += found.problems
    if (value := recipe.get("compile", "optimizer")) is not None:
        builder.build("optimizers", value, "compile.optimizer")
    elif recipe.get("compile") is not None and declarations.uses_optimizer(recipe.procedure):
        message = "is missing. Name one, such as Adam."
        builder.problem(recipe.section("compile").place, "compile.optimizer", message)
    _plateaus(recipe, builder)
    if builder.problems:  # then all of the recipe's are reported, also those that no plan is about
        others = Builder(None, find=catalogue.outline)
        build.check_objects(others, recipe)
        builder.problems += [problem for problem in others.problems if problem not in builder.problems]
    module_outlines.keep()
    builder.finish()
    return dataset


def _maker(steps: int) -> Callable[..., Any]:
    """Return a function that outlines an optimizer for `steps` steps, as training would make it."""

    def make(outline: Any, **arguments: Any) -> Outlined:
        for name, value in arguments.items():
            if isinstance(value, Schedule):
                if name not in ranges.BOUNDS:
                    raise ValueError(
                        f"'{name}' can't follow a schedule; {', '.join(ranges.BOUNDS)} can. Give a number."
                    )
                check(name, value, steps)
        return outline(**arguments)

    return make


def _steps_per_epoch(recipe: Recipe, dataset: Any, recorded: dict[str, Any] | None) -> int:
    asked = recipe.get("fit", "steps_per_epoch")
    given = None if asked is None else asked.data
    if given is not None and recorded is None and recipe.setting("fit", "batch_tokens", default=None) is not None:
        return int(given)  # to count such batches all sentences would be tokenized
    try:
        batches = _batches(recipe, dataset, recorded)
    except DataError:
        if given is None:
            raise
        batches = None
    if batches is None:
        return int(given or 1)
    if given is not None and asked is not None and given > batches:
        message = f"must be at most {batches}, the batches of the training split. Got {given}."
        raise RecipeError([Problem(asked.place, "fit.steps_per_epoch", message)])
    return batches if given is None else int(given)


def _batches(recipe: Recipe, dataset: Any, recorded: dict[str, Any] | None) -> int | None:
    """Return the batches of the training split, None if unknown."""
    if recorded is None and dataset is not None:
        recorded = data_facts.counted(recipe, dataset)
    if recorded is not None and "train_batches" in recorded:
        return int(recorded["train_batches"])
    if recorded is not None:
        size = int(recorded["train_size"])
    else:
        return None
    if recorded.get("rows") is not None:
        return max(size // int(recorded["rows"]), 1)  # each row has as many windows
    return -(-size // recipe.setting("fit", "batch_size", default=DEFAULT_BATCH_SIZE))


def _facts(recipe: Recipe, dataset: Any, recorded: dict[str, Any] | None) -> dict[str, Any]:
    """Return facts of the data, which may need reading, if the optimizer uses any."""
    asked = any(value.reference is not None for _, value in recipe.section("compile", "optimizer").walk())
    if not asked or recorded is not None:
        return recorded or {}
    return {} if dataset is None else data_facts.facts(recipe, dataset)


def _plateaus(recipe: Recipe, builder: Builder) -> tuple[dict[str, Any], ...]:
    callbacks = recipe.get("fit", "callbacks")
    found: list[dict[str, Any]] = []
    for index, value in enumerate(callbacks.data if callbacks is not None and callbacks.is_list else ()):
        if reading.object_name(value) == "ReduceLROnPlateau":
            path = f"fit.callbacks[{index}]"
            built = builder.build("callbacks", value, path)
            if isinstance(built, Outlined):
                given = {name: built.arguments[name] for name in plateau.ARGUMENTS}
                builder.attempt(functools.partial(plateau.check, **given), value, f"{path}.ReduceLROnPlateau")
                found.append(built.arguments)
    return tuple(found)


def _stages(recipe: Recipe, builder: Builder) -> list[Stage]:
    """Return the stages of a recipe, empty without stages."""
    value = stage_list.items(recipe.root)
    if value is None:
        return []
    name, path = str(recipe.procedure), f"procedure.{recipe.procedure}.stages"
    given = builder.argument("stages", value, "procedures", path)
    found = builder.attempt(lambda: stages_of(given, name), value, path)
    return found if isinstance(found, list) else []


def _rate_of(optimizer: Any, default: Schedule, value: Value) -> Schedule:
    """Return the learning rate of a stage's own optimizer, or the default without one."""
    if optimizer is None:
        return default
    if isinstance(optimizer, str):
        optimizer = catalogue.of_word("optimizers", optimizer)()
    return _schedules(optimizer, value)["learning_rate"]


def _schedules(optimizer: Outlined, value: Value) -> dict[str, Schedule]:
    """Return the arguments that change, and the learning rate in any case."""
    found = {name: given for name, given in optimizer.arguments.items() if isinstance(given, Schedule)}
    rate = optimizer.arguments.get("learning_rate")
    if "learning_rate" not in found:
        if rate is None or rate is UNKNOWN or rate is UNREADABLE or isinstance(rate, bool | str):
            message = f"the learning rate of {optimizer.name} is not known. Give it as learning_rate."
            raise RecipeError([Problem(value.place, "compile.optimizer", message)])
        try:
            found["learning_rate"] = Constant(rate)
        except ValueError:
            message = f"must be a number >= 0 or a schedule. Got {rate!r}."
            raise RecipeError([Problem(value.place, "compile.optimizer.learning_rate", message)]) from None
    return {name: found[name] for name in ranges.BOUNDS if name in found}
