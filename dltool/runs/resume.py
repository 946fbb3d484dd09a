"""Going on with a run: the recipe that it keeps, and what differs from it now."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dltool.data.formats import locate
from dltool.errors import DataError, RecipeError, UsageError
from dltool.errors.damage import undamaged
from dltool.recipe import build, catalogue, reading, run_files
from dltool.recipe.data import Data, differing_fact
from dltool.recipe.declarations import LEARNED_FROM, declared
from dltool.recipe.reading import Recipe, Value
from dltool.recipe.values import to_text
from dltool.runs import bases, directory
from dltool.runs.directory import RunDirectory
from dltool.tasks import base as tasks

if TYPE_CHECKING:
    from dltool.data.base import Dataset, Vocabulary

FACTS_THAT_STAY = ("train_size", "validation_size", "test_size", "num_classes", "class_names", "inputs", "targets",
                   "selected_classes", "examples_per_class", "text_sha256")  # fmt: skip


def resolved(recipe: Recipe, default_seed: int) -> Recipe:
    """The recipe as it runs again from any folder: `extends` merged, paths of data, bases and teacher made absolute."""
    plain = recipe.plain()
    plain["model"] = bases.absolute(plain["model"])
    if plain["data"].get("augment"):
        plain["data"]["augment"] = bases.absolute(plain["data"]["augment"])
    plain["data"]["dataset"] = _absolute(dataset_arguments(recipe.section("data", "dataset")))
    if (procedure := recipe.get("procedure")) is not None:
        plain["procedure"] = _absolute(_with_keywords(procedure, "procedures"))
    plain.setdefault("seed", default_seed)
    return Recipe(reading.from_text(to_text(plain), recipe.file), recipe.file, recipe.purpose)


def dataset_arguments(value: Value) -> Any:
    """A dataset in plain words with its first argument named: {Npz: a.npz} -> {Npz: {path: a.npz}}."""
    return _with_keywords(value, "datasets")


def _with_keywords(value: Value, kind: str) -> Any:
    """Return an object in plain words with its first argument named; leave others unchanged."""
    name = reading.object_name(value)
    is_known = name is not None and catalogue.has(kind, name)
    if name is None or not is_known or not value.is_mapping or value[name].is_mapping or value[name].data is None:
        return value.plain()
    first = next(iter(catalogue.describe(kind, name).arguments))
    return {name: {first: value[name].plain()}}


def check_resumable(run: RunDirectory, new: Recipe, accept_changes: bool) -> list[str]:
    """Return the changes since the run, one line each, or raise.

    Raises:
        UsageError: something has, and `accept_changes` is off.
        DataError: there is no run, or its recipe is damaged.
    """
    run.check_is_run()
    if not run_files.is_run(run.path):
        raise DataError(
            f"{run}: is not a run directory: dltool did not write its {directory.RECIPE}. Train it with --out."
        )
    run.check_own()
    check_edited(run, new)
    changed = differences(own_recipe(run).plain(), new.plain())
    if changed and not accept_changes:
        listed = [f"  {line}" for line in changed]
        raise UsageError(f"{run}: the recipe has changed since:", *listed, "Use --accept-changes to go on with it.")
    return changed


def recipe_before(run: RunDirectory) -> Recipe | None:
    """Return the recipe of the run that is there, None where there is none or it is damaged."""
    try:
        return own_recipe(run) if run_files.is_run(run.path) else None
    except (DataError, UsageError):
        return None


def check_edited(run: RunDirectory, new: Recipe) -> None:
    """Raise if a training by the recipe `new` would replace a recipe in the run that the user has edited.

    Raises:
        UsageError: it was edited and says something else than `new`.
        DataError: it is damaged.
    """
    if run.recipe_is_edited() and own_recipe(run).plain() != new.plain():
        raise UsageError(
            f"{run / directory.RECIPE}: was edited since dltool wrote it and would be replaced. "
            "Move it, or put all changes into it and train it unchanged."
        )


def own_recipe(run: RunDirectory) -> Recipe:
    """The recipe that a run was trained by.

    Raises:
        DataError: it is damaged.
    """
    try:
        return reading.load(run / directory.RECIPE)
    except RecipeError as error:
        first = error.problems[0]
        raise DataError(f"{first.place}: the run's recipe is damaged ({first.message}). Train again.") from error


def own_dataset(recipe: Recipe, run: RunDirectory) -> Any:
    """The dataset of a run's recipe, read as training read it unless new overrides have changed it.

    Raises:
        DataError: a file that the run itself names is gone, or its facts of the data are damaged.
        RecipeError: something else is wrong with the dataset.
    """
    value = recipe.section("data", "dataset")
    try:
        return as_trained(build.dataset(value), recipe, run)
    except RecipeError as error:
        if not isinstance(error.__cause__, OSError):
            raise
        for at, one in value.walk("data.dataset"):
            key = at.rpartition(".")[2]
            if not (isinstance(one.data, str) and _is_path(key) and _same_file(one.place.file, run / directory.RECIPE)):
                continue
            if not Path(one.data).expanduser().exists():
                remedy = f"Put it back, or say where it is now ({at}=... to train, --data to evaluate)."
                raise DataError(f"{run}: its data are gone: {one.data} does not exist. {remedy}") from error
        raise


def as_trained(dataset: Dataset, recipe: Recipe, run: RunDirectory) -> Dataset:
    """A recipe's dataset read as the data of a run were, if it is the dataset of the run's own recipe."""
    if not ((run / directory.DATA).is_file() and (run / directory.RECIPE).is_file()):
        return dataset
    own, new = (dataset_arguments(one.section("data", "dataset")) for one in (own_recipe(run), recipe))
    return dataset.as_trained(run.read_json(directory.DATA)) if _absolute(own) == _absolute(new) else dataset


def own_vocabulary(run: RunDirectory) -> Vocabulary | None:
    """The vocabulary that a run of a text or of sentences keeps, None of other runs.

    Raises:
        DataError: it is missing or damaged.
    """
    facts = run.read_json(directory.DATA) if (run / directory.DATA).is_file() else {}
    task = tasks.of(facts)
    if not task.has_vocabulary:
        return None
    files = run.read_vocabulary()
    with undamaged(f"{run / directory.VOCABULARY}:", directory.AGAIN, "the run's vocabulary can't be read"):
        found: Vocabulary | None = task.vocabulary(files, facts)
        return found


def check_same_data(run: RunDirectory, data: Data) -> None:
    """Raise unless the data are those that the run was trained on, as far as their facts tell."""
    if not (run / directory.DATA).is_file():
        return
    old = run.read_json(directory.DATA)
    name = differing_fact(old, data.facts, FACTS_THAT_STAY)
    if name is not None:
        raise DataError(
            f"{run}: the data have changed since ({name} was {old.get(name)}, is {data.facts.get(name)}). "
            "Train again with another --out."
        )


def differences(old: Any, new: Any, path: str = "") -> list[str]:
    """Return where two plain recipes differ, one line each: "fit.epochs: 10 -> 20"."""
    if isinstance(old, dict) and isinstance(new, dict):
        keys = dict.fromkeys([*old, *new])
        return [line for key in keys for line in differences(old.get(key), new.get(key), reading.join(path, key))]
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        pairs = enumerate(zip(old, new, strict=True))
        return [line for index, pair in pairs for line in differences(*pair, f"{path}[{index}]")]
    return [] if old == new else [f"{path}: {old!r} -> {new!r}"]


def _absolute(plain: Any, key: str = "") -> Any:
    if isinstance(plain, dict):
        return {name: _absolute(value, str(name)) for name, value in plain.items()}
    if isinstance(plain, str) and _is_path(key):
        return os.path.abspath(locate.placed(plain))  # noqa: PTH100 - resolve() would follow links
    return plain


def _is_path(key: str) -> bool:
    """Return whether an argument of this name is a path; a teacher is a run directory or a file."""
    return key == "path" or key.endswith("_path") or key in declared("procedures", LEARNED_FROM).values()


def _same_file(named: str, path: Path) -> bool:
    return os.path.abspath(named) == os.path.abspath(path)  # noqa: PTH100 - `named` may be no file at all
