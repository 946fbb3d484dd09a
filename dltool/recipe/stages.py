"""A recipe's training in stages, as plain data: its epochs, and their agreement with fit.epochs."""

from __future__ import annotations

from dltool.errors import Problem
from dltool.recipe import catalogue
from dltool.recipe.values import Value, object_name

ARGUMENT = "stages"  # the first of a procedure that trains in stages


def items(root: Value) -> Value | None:
    """The list of stages of a recipe, None where it does not train in stages."""
    procedure = root.get("procedure")
    name = None if procedure is None or not procedure.is_mapping else object_name(procedure)
    if procedure is None or name is None or not _has_stages(name):
        return None
    body = procedure[name]
    found = body.get(ARGUMENT) if body.is_mapping else body
    return found if found is not None and found.is_list else None


def epochs(root: Value) -> int:
    """Epochs of the whole training: the sum over stages, else fit.epochs, by default 1 as in `keras.Model.fit`."""
    found = items(root)
    given = root.get("fit", "epochs")
    if found is not None:
        return _sum(found) or 1
    return 1 if given is None else given.data


def check(root: Value) -> list[Problem]:
    """Return a mistake unless fit.epochs, if given, is the sum of the stages' epochs."""
    found, given = items(root), root.get("fit", "epochs")
    total = None if found is None else _sum(found)
    if total is None or given is None or given.data == total:
        return []
    message = f"is {given.data}, but the stages of the procedure have {total} epochs. Change those, or remove this."
    return [Problem(given.place, "fit.epochs", message)]


def _has_stages(name: str) -> bool:
    """Return whether a procedure trains in stages, by its signature."""
    if not catalogue.has("procedures", name):
        return False
    return next(iter(catalogue.describe("procedures", name).arguments), None) == ARGUMENT


def _sum(found: Value) -> int | None:
    """None while a stage's epochs are no number, which building the procedure tells."""
    each = [one.get("epochs") for one in found.data]
    numbers = [one.data for one in each if one is not None and type(one.data) is int and one.data > 0]
    return sum(numbers) if len(numbers) == len(each) else None
