"""Overrides: `dotted.key=yaml-value` of the command line, put into a recipe's values."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, NoReturn

from dltool.errors import Place, Problem, RecipeError, UsageError
from dltool.recipe.values import OBJECT_NAME, Value, from_text, join, object_name, shown

FILE = "command line"  # stands for a file in places: its lines are the overrides in turn
INDEX = re.compile(r"-?\d+")
OVERRIDE = re.compile(r"[A-Za-z_][\w.\[\]-]*=")


def grouped(arguments: Sequence[str]) -> list[tuple[str, list[str]]]:
    """Return sources (recipes, runs, schedules in words), each with the overrides that follow it.

    Raises:
        UsageError: an override comes first.
    """
    groups: list[tuple[str, list[str]]] = []
    for argument in arguments:
        if not OVERRIDE.match(argument) or _exists(argument):
            groups.append((argument, []))
        elif groups:
            groups[-1][1].append(argument)
        else:
            raise UsageError(f"{argument}: comes before any recipe: an override follows the source that it changes")
    return groups


def _exists(text: str) -> bool:
    try:
        return Path(text).exists()
    except OSError:  # too long for a path
        return False


def apply(root: Value, text: str, number: int = 1) -> Value:
    """`root` with one override applied.

    Args:
        text: `dotted.key=yaml-value`; keys are also list indices (`model.3.Dense.units=64` or `model[3]...`).
            An index equal to the list's length appends, a negative one counts from the end. A bare name takes
            keywords (`MaxPooling2D` -> `MaxPooling2D: {...}`); another object's name replaces the object.
        number: which of the overrides this is, from 1: the line in its places; the column is that in `text`.
    Raises:
        RecipeError: the text cannot be read, or does not fit the recipe.
    """
    place = Place(FILE, number, 1)
    key, equals, raw = text.partition("=")
    keys = re.sub(r"\[(-?\d+)\]", r".\1", key.strip()).split(".")
    if not equals or not all(keys) or any(character.isspace() for character in "".join(keys)):
        raise RecipeError([Problem(place, text, "an override reads dotted.key=value, such as fit.epochs=5")])
    if keys[0] == "extends":
        raise RecipeError([Problem(place, text, "extends belongs into a recipe's file")])
    shift = len(key) + 1
    if not raw.strip():
        return _set(root, keys, Value(None, replace(place, column=shift + 1), place), text, "")
    try:
        new = from_text(raw, FILE)
    except RecipeError as error:
        moved = [replace(problem, place=_moved(problem.place, number, shift), path=text) for problem in error.problems]
        raise RecipeError(moved) from None
    return _set(root, keys, replace(_placed(new, number, shift), key=place), text, "")


def unreadable(texts: Sequence[str]) -> list[Problem]:
    """Problems of overrides that are wrong whatever the recipe says."""
    problems: list[Problem] = []
    for number, text in enumerate(texts, start=1):
        try:
            apply(Value(MappingProxyType({}), Place(FILE, 1, 1)), text, number)
        except RecipeError as error:
            problems += error.problems
    return problems


def _moved(place: Place, number: int, shift: int) -> Place:
    """A place in an override's value as one in the override."""
    return Place(place.file, number, place.column + shift * (place.line == 1))


def _placed(value: Value, number: int, shift: int) -> Value:
    data = value.data
    if value.is_mapping:
        data = MappingProxyType({key: _placed(item, number, shift) for key, item in data.items()})
    elif value.is_list:
        data = tuple(_placed(item, number, shift) for item in data)
    key = None if value.key is None else _moved(value.key, number, shift)
    return Value(data, _moved(value.place, number, shift), key)


def _set(value: Value | None, keys: list[str], new: Value, text: str, path: str) -> Value:
    """`value`, which stands at `path`, with `new` below `keys`."""
    if not keys:
        return new
    place = new.key or new.place

    def fail(message: str) -> NoReturn:
        raise RecipeError([Problem(place, text, message)])

    if value is not None and value.is_list:
        count = len(value.data)
        if not INDEX.fullmatch(keys[0]) or not -count <= int(keys[0]) <= count:
            fail(f"{path} is a list of {count}: its index is 0 to {count} ({count} appends). Got '{keys[0]}'.")
        index = int(keys[0]) + (count if int(keys[0]) < 0 else 0)
        items = list(value.data)
        old = items[index] if index < count else None
        items[index : index + 1] = [_set(old, keys[1:], new, text, f"{path}[{index}]")]
        return replace(value, data=tuple(items))
    mapping = _mapping(value, keys[0])
    if mapping is None:
        fail(f"{path} is {shown(value)}, not a mapping. Give the whole value: {path}=...")
    named = object_name(value) if value is not None else None
    key: Any = int(keys[0]) if keys[0] not in mapping and INDEX.fullmatch(keys[0]) else keys[0]
    if named is not None and key != named:
        if not OBJECT_NAME.fullmatch(keys[0]):
            fail(f"{path or 'the source'} is {named}: write {join(path, named)}.{key}=...")
        mapping = {}
    mapping[key] = _set(mapping.get(key), keys[1:], new, text, join(path, key))
    if value is None:
        return Value(MappingProxyType(mapping), place, place)
    return Value(MappingProxyType(mapping), value.place, value.key)


def _mapping(value: Value | None, key: str) -> dict[Any, Value] | None:
    """The entries of `value` that stay when `key` is set in it; None where it can have none."""
    if value is None or value.data is None:
        return {}
    if isinstance(value.data, Mapping):
        return dict(value.data)
    if isinstance(value.data, str) and object_name(value):  # a bare name: MaxPooling2D
        return {value.data: Value(None, value.place, value.place)}
    return (
        {} if OBJECT_NAME.fullmatch(key) else None
    )  # an object in place of a plain value: learning_rate.CosineDecay...
