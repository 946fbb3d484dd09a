"""Other data than a run's own, read as training read its data: nothing is inferred again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dltool.errors import DataError, UsageError
from dltool.recipe import build, catalogue, feature_columns
from dltool.recipe import reading as recipe
from dltool.recipe.data import reading, selected
from dltool.recipe.reading import Recipe, Value
from dltool.recipe.values import to_text
from dltool.runs import resume
from dltool.runs.directory import DATA, RunDirectory
from dltool.tasks import base as tasks


def facts_of(run: RunDirectory, one: Recipe, model: Any) -> dict[str, Any]:
    """Return the facts that `Dataset.as_trained` needs: the run's own, and its model's categories.

    Args:
        one: the run's recipe.
    Raises:
        DataError: the run was made before runs kept what fills gaps, and its training file is gone.
    """
    facts = run.read_json(DATA)
    if "features" not in facts:
        return facts
    facts["categories"] = feature_columns.categories(model)
    dataset = resume.dataset_arguments(one.section("data", "dataset"))
    body = next(iter(dataset.values())) if isinstance(dataset, dict) else None
    if "fill_values" not in facts and isinstance(body, dict) and body.get("fill") is not None:
        own = resume.own_dataset(one, run)
        with reading():
            facts["fill_values"] = own.fill_values() if hasattr(own, "fill_values") else {}
    return facts


def other_dataset(text: str, one: Recipe, facts: Mapping[str, Any]) -> Any:
    """The dataset that --data names. What it leaves unsaid is as the run had it, the order of classes above all.

    Args:
        one: the run's recipe.
        facts: of the run (`facts_of`).
    Raises:
        UsageError, RecipeError: it names no dataset, or wrong arguments.
    """
    value = recipe.from_text(text, "--data")
    name = recipe.object_name(value)
    if name is None:
        raise UsageError(
            f"--data '{text}': write a dataset as in a recipe, such as 'Csv: {{path: new.csv, target: y}}'"
        )
    try:
        target = catalogue.find("datasets", name)
    except LookupError:
        return build.dataset(value, "--data")  # says what is wrong
    plain = resume.dataset_arguments(value)
    given = value.data[name] if value.is_mapping else None
    if given is not None and not given.is_mapping and isinstance(plain[name], dict):
        given = Value(dict.fromkeys(plain[name], given), given.place)
    if given is not None and not given.is_mapping:
        return build.dataset(value, "--data")
    added = recipe.from_text(to_text(_unsaid(name, build.parameters(target), one, facts)), "--data")
    body = Value({**added.data, **(given.data if given is not None else {})}, value.place)
    other = build.dataset(Value({name: body}, value.place), "--data").as_trained(facts)
    return selected(one, other) if name == recipe.object_name(one.section("data", "dataset")) else other


def _unsaid(name: str, parameters: Any, one: Recipe, facts: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments for a dataset of this name: facts of the run's data, and its own arguments less its files."""
    kinds = facts.get("features", {})
    known = {
        "classes": facts.get("classes", facts.get("class_names")),
        "numeric": [column for column, kind in kinds.items() if kind.startswith("float")],
        "categorical": [column for column, kind in kinds.items() if not kind.startswith("float")],
        "target": facts.get("target"),
        **tasks.of(facts).arguments(facts),
        **_of_images(facts.get("input_shape")),
    }
    found = {argument: value for argument, value in known.items() if value}
    own = resume.dataset_arguments(one.section("data", "dataset"))
    if one.setting("data", "classes") is not None and recipe.object_name(one.section("data", "dataset")) == name:
        found.pop("classes", None)  # they are selected once the dataset is there
    if isinstance(own, dict) and name in own and isinstance(own[name], dict):
        found |= {argument: value for argument, value in own[name].items() if value is not None}  # `missing: []` counts
    files = {argument for argument in parameters if argument == "path" or argument.endswith("_path")}
    return {argument: value for argument, value in found.items() if argument in set(parameters) - files}


def _of_images(shape: Any) -> dict[str, Any]:
    """Arguments by which other images become as large and as coloured as the run's."""
    modes = {1: "grayscale", 3: "rgb", 4: "rgba"}
    if not isinstance(shape, list | tuple) or len(shape) != 3 or shape[2] not in modes or None in shape:
        return {}
    return {"image_size": list(shape[:2]), "color_mode": modes[shape[2]]}


def check_has_columns(run: RunDirectory, old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
    """Raise if the data lack columns that a run's model takes."""
    missing = [name for name in old.get("features", ()) if name not in new.get("features", ())]
    if missing:
        raise DataError(f"{run}: needs columns that the data do not have: {', '.join(missing)}")
