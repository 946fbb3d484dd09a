"""What facts of data say of their form: columns of a table, several targets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def is_table(facts: Mapping[str, Any]) -> bool:
    """Return whether examples are rows of a table, whose columns have a kind each."""
    return "features" in facts


def input_shapes(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return the shape of each of several inputs by its name; empty where an example has one."""
    return {name: own["input_shape"] for name, own in facts.get("inputs", {}).items()}


def facts_of_targets(facts: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Return the facts of each of several targets by its name; those of all data under "" where there is one."""
    return dict(facts["targets"]) if "targets" in facts else {"": facts}
