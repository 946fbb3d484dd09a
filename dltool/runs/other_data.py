"""Other data than a run's own, read as training read its data: nothing is inferred again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from dltool.data.facts import is_table
from dltool.errors import DataError, UsageError
from dltool.recipe import build, catalogue, feature_columns
from dltool.recipe import reading as recipe
from dltool.recipe.data import reading, selected
from dltool.recipe.reading import Recipe, Value
from dltool.recipe.values import to_text
from dltool.runs import resume
from dltool.runs.directory import DATA, RunDirectory
from dltool.tasks import base as tasks
from dltool.tasks._readers import Source


def facts_of(run: RunDirectory, one: Recipe, model: Any) -> dict[str, Any]:
    """Return the facts that `Dataset.as_trained` needs: the run's own, and its model's categories.

    Args:
        one: the run's recipe.
    Raises:
        DataError: the run was made before runs kept what fills gaps, and its training file is gone.
    """
    facts = run.read_json(DATA)
    if not is_table(facts):
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
    name, other, _ = _named(text, one, facts)
    return selected(one, other) if name == recipe.object_name(one.section("data", "dataset")) else other


def source_of(text: str, one: Recipe, source: Source) -> Source:
    """Return the new examples that --data names in place of inputs; its targets need not be there.

    Args:
        one: the run's recipe.
        source: the run's own, of whose dataset come the arguments that --data leaves unsaid.
    Raises:
        UsageError, RecipeError: it names no dataset of new examples, or wrong arguments.
    """
    name = recipe.object_name(recipe.from_text(text, "--data"))
    kind = None
    if name is not None and catalogue.has("datasets", name):
        kind = catalogue.find("datasets", name).new_examples
        if kind is None:
            known = [word for word in catalogue.known("datasets") if catalogue.find("datasets", word).new_examples]
            raise UsageError(f"--data: {name} reads no new examples. Use {', '.join(known)}.")
        tasks.of(source.facts).reader(replace(source, names=[], kind=kind))  # raises for another kind
    _, other, given = _named(text, one, source.facts)
    files = [argument for argument in given if argument != "path" and argument.endswith("_path")]
    if files:
        raise UsageError(f"--data: '{files[0]}' is not read, only 'path'. Leave it out.")
    shape = other.facts_of_arguments(**given).get("input_shape")
    wanted = source.facts.get("input_shape")
    if shape is not None and wanted is not None and list(shape) != list(wanted):
        raise UsageError(f"--data: {source.run} takes pictures of {list(wanted)}, not of {list(shape)}.")
    return replace(source, names=[str(other.files()[0])], arguments={**source.arguments, **given}, kind=kind)


def _named(text: str, one: Recipe, facts: Mapping[str, Any]) -> tuple[str, Any, dict[str, Any]]:
    """Return the name, the dataset and the arguments that --data gives, with those that it leaves unsaid."""
    value = recipe.from_text(text, "--data")
    name = recipe.object_name(value)
    if name is None:
        raise UsageError(
            f"--data '{text}': write a dataset as in a recipe, such as 'Csv: {{path: new.csv, target: y}}'"
        )
    try:
        target = catalogue.find("datasets", name)
    except LookupError:
        return name, build.dataset(value, "--data"), {}  # says what is wrong
    plain = resume.dataset_arguments(value)
    given = value.data[name] if value.is_mapping else None
    if given is not None and not given.is_mapping and isinstance(plain[name], dict):
        given = Value(dict.fromkeys(plain[name], given), given.place)
    if given is not None and not given.is_mapping:
        return name, build.dataset(value, "--data"), {}
    added = recipe.from_text(to_text(_unsaid(name, build.parameters(target), one, facts)), "--data")
    body = Value({**added.data, **(given.data if given is not None else {})}, value.place)
    return name, build.dataset(Value({name: body}, value.place), "--data").as_trained(facts), body.plain()


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
