"""The form of facts that a recipe declares of its data, as plain data."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dltool.errors import Problem, suggest_or_list
from dltool.recipe.values import Value, join, shown

PARTS = ("train", "validation", "test")


def check(root: Value) -> list[Problem]:
    """Return what is wrong with the form of `data.declared`."""
    declared = root.get("data", "declared")
    if declared is None or declared.data is None:
        return []
    if not declared.is_mapping:
        message = f"must be a mapping of {', '.join(KEYS)}. Got {shown(declared)}."
        return [Problem(declared.place, "data.declared", message)]
    problems = []
    for key, value in declared.data.items():
        path = join("data.declared", key)
        if key not in KEYS:
            message = f"unknown key.{suggest_or_list(key, KEYS)}"
            problems.append(Problem(value.key or value.place, path, message))
        elif not KEYS[key][0](value):
            problems.append(Problem(value.place, path, f"must be {KEYS[key][1]}. Got {shown(value)}."))
    names, classes = (declared.get(key) for key in ("class_names", "num_classes"))
    if not problems and names is not None and classes is not None and len(names.data) != classes.data:
        message = f"has {len(names.data)} names, but num_classes is {classes.data}. Correct one of them."
        problems.append(Problem(names.place, "data.declared.class_names", message))
    return problems


def _is_count(value: Value) -> bool:
    return type(value.data) is int and value.data >= 1


def _are_sizes(value: Value) -> bool:
    return value.is_mapping and "train" in value.data and {*value.data} <= {*PARTS} and _all(_is_count, value)


def _is_shape(value: Value) -> bool:
    return value.is_list and bool(value.data) and _all(_is_count, value)


def _are_names(value: Value) -> bool:
    return value.is_list and len(value.data) > 1 and _all(lambda item: isinstance(item.data, str), value)


def _all(test: Callable[[Value], bool], values: Value) -> bool:
    return all(map(test, values.data.values() if values.is_mapping else values.data))


KEYS: dict[str, tuple[Callable[[Value], bool], str]] = {
    "sizes": (_are_sizes, "a mapping of train, and where they are stored validation and test, to examples, ints >= 1"),
    "input_shape": (_is_shape, "the shape of an example, a list of ints >= 1"),
    "num_classes": (_is_count, "an int >= 1"),
    "num_targets": (_is_count, "an int >= 1"),
    "class_names": (_are_names, "a list of at least 2 names"),
}


def declared(root: Value) -> dict[str, Any]:
    """Return the facts that a checked recipe declares, empty where it declares none; an example's shape as a tuple."""
    value = root.get("data", "declared")
    if value is None or value.data is None:
        return {}
    facts = value.plain()
    if "input_shape" in facts:
        facts["input_shape"] = tuple(facts["input_shape"])
    if "class_names" in facts:
        facts.setdefault("num_classes", len(facts["class_names"]))
    found: dict[str, Any] = facts
    return found
