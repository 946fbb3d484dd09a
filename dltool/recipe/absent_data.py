"""Data that are not there, as far as a recipe declares them, and declared facts that the data contradict."""

from __future__ import annotations

from typing import Any

import numpy as np

from dltool.data.base import Dataset, Examples
from dltool.errors import Problem, RecipeError, one_line
from dltool.recipe import catalogue, declared_facts
from dltool.recipe.builder import parameters
from dltool.recipe.reading import Recipe
from dltool.recipe.values import Value, object_name
from dltool.tasks import base as tasks


class AbsentDataset(Dataset):
    """Facts without data.

    Args:
        title: the name of the dataset that is not there.
        facts: those declared; `sizes` are those of its parts.
        missing: what to raise where more is asked for.
        task: the dataset's, where it does not depend on its files.
    """

    is_absent = True

    def __init__(self, title: str, facts: dict[str, Any], missing: FileNotFoundError, task: Any = None) -> None:
        self._title, self._missing = title, missing
        self._facts = {key: value for key, value in facts.items() if key != "sizes"}
        self._sizes: dict[str, int] = facts.get("sizes", {})
        depends = not isinstance(task, str) or task == tasks.DEFAULT
        self.task = tasks.of(facts).name if depends else task  # type: ignore[misc]

    @property
    def title(self) -> str:
        return self._title

    def sizes(self) -> dict[str, int]:
        if not self._sizes:
            raise self._missing
        return dict(self._sizes)

    def facts(self) -> dict[str, Any]:
        return dict(self._facts)

    def labels(self, part: str) -> np.ndarray:
        raise self._missing

    def read(self, part: str) -> Examples:
        raise self._missing


def stand_in(recipe: Recipe, error: BaseException | None) -> AbsentDataset | None:
    """Return what a recipe declares of its data, None where it declares nothing or the files are not what is missing.

    Args:
        error: what the dataset raised.
    Raises:
        RecipeError: the declared facts contradict the dataset's arguments, or one of these is wrong.
    """
    if not isinstance(error, FileNotFoundError) or declared_facts.check(recipe.root):
        return None
    facts = declared_facts.declared(recipe.root)
    if not facts:
        return None
    value = recipe.section("data", "dataset")
    name = object_name(value) or ""
    target = catalogue.find("datasets", name)
    _refuse_text(recipe, target.learns_vocabulary)
    try:
        known = target.facts_of_arguments(**_arguments(target, value, name))
    except (ValueError, TypeError) as other:
        body = value[name] if value.is_mapping else value
        raise RecipeError([Problem(body.key or body.place, f"data.dataset.{name}", one_line(other))]) from other
    _compare(recipe, facts, known)
    return AbsentDataset(name, known | facts, error, target.task)


def check(recipe: Recipe, dataset: Dataset) -> None:
    """Raise `RecipeError` if a recipe declares other facts of its data than the dataset gives."""
    facts = declared_facts.declared(recipe.root)
    if not facts or dataset.is_absent:
        return
    _refuse_text(recipe, dataset.learns_vocabulary)
    _compare(recipe, facts, {**dataset.facts(), "sizes": dataset.sizes()}, whole=True)


def _compare(recipe: Recipe, facts: dict[str, Any], known: dict[str, Any], whole: bool = False) -> None:
    """Raise for declared facts that differ from those known.

    Args:
        whole: whether a fact that is not known is one that the data do not have.
    """
    problems = []
    for key, value in recipe.section("data", "declared").data.items():
        if key == "sizes":
            problems += _other_sizes(value, known.get(key, facts[key]))
        elif (key in known or whole) and (have := known.get(key)) != facts[key]:
            problems.append(_other(value, f"data.declared.{key}", list(have) if isinstance(have, tuple) else have))
    if problems:
        raise RecipeError(problems)


def _other_sizes(value: Value, have: dict[str, int]) -> list[Problem]:
    path = "data.declared.sizes"
    different = [part for part, one in value.data.items() if one.data != have.get(part)]
    found = [_other(value[part], f"{path}.{part}", have.get(part)) for part in different]
    for part in have.keys() - value.data.keys():
        message = f"names no {part} part, but the data have one of {have[part]} examples. Add it."
        found.append(Problem(value.place, path, message))
    return found


def _other(value: Value, path: str, have: Any) -> Problem:
    message = f"is {value.plain()}, but the data have {'none' if have is None else have}. Correct it, or remove it."
    return Problem(value.place, path, message)


def _refuse_text(recipe: Recipe, is_text: bool) -> None:
    if is_text:
        place = recipe.section("data", "declared").place
        raise RecipeError([Problem(place, "data.declared", "is for data of single examples, not for text. Remove it.")])


def _arguments(target: Any, value: Value, name: str) -> dict[str, Any]:
    """The dataset's arguments by name."""
    body = value[name] if value.is_mapping else None
    if body is None or body.data is None:
        return {}
    return body.plain() if body.is_mapping else {next(iter(parameters(target))): body.plain()}
