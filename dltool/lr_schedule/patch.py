"""A recipe fragment that gives a recipe another learning rate, for `extends`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dltool.errors import UsageError
from dltool.recipe import build, catalogue, reading
from dltool.recipe.reading import Recipe, Value
from dltool.recipe.values import object_name, to_text
from dltool.runs import opened

SCHEDULES_WITHIN = ("schedule", "schedules")  # arguments of a schedule that are schedules or rates themselves
RATES_OF_SCHEDULES = ("warmup_target", "values", "value")  # beside those that have learning_rate in their name


def with_rate(recipe: Recipe, rate: float, peak: float, optimizer_class: str) -> Recipe:
    """Return the recipe with another learning rate; a schedule keeps its form.

    Every rate in a schedule is multiplied by rate / peak, so that its peak is the rate.

    Args:
        rate: the new rate, or the new peak of the schedule.
        peak: of the present schedule over training; unused if the rate is a number.
        optimizer_class: name of the optimizer's class, for a recipe that names it as a word ("adam").
    Raises:
        UsageError: the schedule is 0 throughout: it has no form to keep.
    Limits: a schedule's rates are recognised by their names, so the caller measures the written recipe's peak again.
    """
    plain = recipe.plain()
    compiled = plain["compile"]
    compiled["optimizer"] = _optimizer(compiled["optimizer"], rate, peak, optimizer_class)
    return Recipe(reading.from_text(to_text(plain), recipe.file), recipe.file, recipe.purpose)


def fragment(source: str, changed: Recipe, path: Path, comment: str) -> str:
    """Return YAML text that extends the recipe of `source` with the differences of `changed`.

    Args:
        source: a recipe's file or bundled name, or a run directory.
        path: of the text's file; `extends` is relative to it, a bundled recipe is extended by its name.
        comment: its first lines, without '#'.
    Raises:
        UsageError: extending cannot express the change, for example if an object loses an argument.
    """
    file = opened.recipe_file(source)
    base = reading.load(file)
    text = to_text({"extends": _reference(file, path), **(difference(base.root, changed.root) or {})})
    again = reading.merge(base.root, reading.from_text(to_text(difference(base.root, changed.root) or {}), str(path)))
    if again.plain() != changed.plain():
        raise UsageError(
            f"--write {path}: the overrides take something away from {file}, which extends cannot say. "
            "Put them into a recipe's file first."
        )
    lines = "".join(f"# {line}\n" for line in comment.splitlines())
    return lines + text


def difference(base: Value, changed: Value) -> Any:
    """Return what to merge into `base` to get `changed`, as plain data; None if equal."""
    if base.plain() == changed.plain():
        return None
    mergeable = base.is_mapping and changed.is_mapping
    if not mergeable or object_name(base) != object_name(changed):
        return changed.plain()
    found = {}
    for key, value in changed.data.items():
        if key not in base.data:
            found[key] = value.plain()
        elif base[key].plain() != value.plain():
            found[key] = difference(base[key], value)
    return found


def _reference(file: Path, path: Path) -> str:
    """Return how a recipe at `path` extends the one in `file`."""
    try:
        return file.resolve().relative_to(reading.bundled().resolve()).with_suffix("").as_posix()
    except ValueError:
        return os.path.relpath(file.resolve(), path.parent.resolve())


def _optimizer(plain: Any, rate: float, peak: float, optimizer_class: str) -> Any:
    if isinstance(plain, str):
        return {optimizer_class: {"learning_rate": rate}}
    ((name, body),) = plain.items()
    if not isinstance(body, Mapping) or object_name(reading.from_text(to_text(body), "")) is not None:
        first = next(iter(build.parameters(catalogue.find("optimizers", name))))
        body = {} if body is None else {first: body}
    if "inner_optimizer" in body:
        return {name: {**body, "inner_optimizer": _optimizer(body["inner_optimizer"], rate, peak, optimizer_class)}}
    present = body.get("learning_rate")
    scheduled = isinstance(present, str | Mapping)
    if scheduled and peak == 0:
        raise UsageError("--write: the recipe's schedule of the learning rate is 0 throughout. Give it a rate.")
    return {name: {**body, "learning_rate": _scaled(present, rate / peak) if scheduled else rate}}


def _scaled(schedule: Any, ratio: float) -> Any:
    """Return a schedule in plain words with every rate in it multiplied."""
    if isinstance(schedule, int | float):
        return _rounded(schedule * ratio)
    name, body = (schedule, None) if isinstance(schedule, str) else next(iter(schedule.items()))
    allowed = build.parameters(catalogue.find("schedules", name))
    if not isinstance(body, Mapping):
        body = {} if body is None else {next(iter(allowed)): body}
    rates = [key for key in body if "learning_rate" in key or key in (*RATES_OF_SCHEDULES, *SCHEDULES_WITHIN)]
    changed = {key: _each_scaled(value, ratio) if key in rates else value for key, value in body.items()}
    if not rates and "factor" in allowed:  # of Noam, which has no rate in it
        changed["factor"] = _rounded(body.get("factor", allowed["factor"].default) * ratio)
    return {name: changed}


def _each_scaled(value: Any, ratio: float) -> Any:
    if isinstance(value, list):
        return [_scaled(item, ratio) for item in value]
    return None if value is None else _scaled(value, ratio)


def _rounded(value: float) -> float:
    """Six digits: a product of decimal numbers as one would write it."""
    return float(f"{value:.6g}")
