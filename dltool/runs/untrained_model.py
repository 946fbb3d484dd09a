"""The untrained model of a recipe or a run, built with as little of the data as possible."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dltool.data.facts import is_table
from dltool.errors import DltoolError, RecipeError, UsageError
from dltool.recipe import absent_data, build, data, data_facts, reading
from dltool.recipe.data import DEFAULT_BATCH_SIZE
from dltool.recipe.reading import Recipe
from dltool.runs import opened, preparation
from dltool.runs.opened import OpenedRun
from dltool.runs.preparation import Preparation
from dltool.tasks import base as tasks


def untrained_model(source: str, overrides: Sequence[str], given: dict[str, Any]) -> tuple[Any, int]:
    """Return a recipe's model, nothing adapted or trained, or a run's own, and the recipe's batch size.

    Args:
        given: facts in place of the data's, which are then not read.
    """
    is_run = opened.is_run(source)
    if is_run and not overrides and not given:
        run = OpenedRun(source)
        opened.configure([run], "auto")
        return run.model, run.recipe.setting("fit", "batch_size", default=DEFAULT_BATCH_SIZE)
    path = opened.recipe_file(source)
    one = reading.load(path, overrides) if given or _is_declared(path, overrides) else build.load(path, overrides)
    facts = given or _facts_of_data(one)
    if is_table(facts):  # of a table: its encoding has no shape before it is adapted
        prepared = Preparation.of(one)
        return prepared.model, prepared.batch_size
    preparation.configure(one)
    preparation.begin(one)
    try:
        return _outline(one, facts), one.setting("fit", "batch_size", default=DEFAULT_BATCH_SIZE)
    except RecipeError as error:
        if not given or " no fact " not in str(error):
            raise
        remedy = "leave out --input-shape" if given.get("num_classes") else "give --classes, or leave out --input-shape"
        raise UsageError(f"{error} To have it, {remedy}.") from error


def _is_declared(path: Path, overrides: Sequence[str]) -> bool:
    """Return whether the recipe declares facts of its data, which then need not be there."""
    return reading.read(path, overrides)[0].setting("data", "declared") is not None


def _outline(one: Recipe, facts: dict[str, Any]) -> Any:
    """Return the model, its weights of known shapes but without values: those of VGG-19 would take 575 MB."""
    import keras

    if "rows" in facts:  # the states of recurrent layers are variables that can't be made without values
        return build.model(one, facts, None)
    with keras.StatelessScope(initialize_variables=False):
        return build.model(one, facts, None)


def _facts_of_data(one: Recipe) -> dict[str, Any]:
    dataset = data_facts.dataset_of(one)
    try:
        if dataset.learns_vocabulary:  # that of the training split
            facts = data_facts.facts(one, dataset)
        else:
            with data.reading():
                absent_data.check(one, dataset)
                facts = {**data.selected(one, dataset).facts(), "task": dataset.task}
        return tasks.of(facts).facts_of_outline(facts)
    except RecipeError:
        raise
    except DltoolError as error:
        remedy = "Or give --input-shape and --classes, which need no data."
        raise type(error)(f"{error} {remedy}") from error
