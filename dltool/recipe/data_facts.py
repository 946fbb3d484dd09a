"""Facts of a recipe's data, from those kept or from the data: what is asked for before anything is trained."""

from __future__ import annotations

import contextlib
from typing import Any

from dltool.data.base import Dataset
from dltool.errors import DataError, RecipeError, messages
from dltool.recipe import build, kept_plugins
from dltool.recipe.absent_data import stand_in
from dltool.recipe.data import Data, reading, rows_of
from dltool.recipe.kept_facts import Entry
from dltool.recipe.reading import Recipe

UNRELATED = ("dataset", "augment")  # keys of the data section on which no fact depends


def counted(recipe: Recipe, dataset: Dataset) -> dict[str, Any]:
    """Return what steps are counted by: train_size, rows of a model with a state, train_batches if counted by tokens.

    Raises:
        RecipeError, DataError: as `Data.of`.
    """
    entry = entry_of(recipe, dataset)
    kept = entry.read() if entry is not None else {}
    if "counted" not in kept:
        data = _data(recipe, dataset)
        kept = _measured(data, dataset)
        if entry is not None and not data.dataset.is_absent:
            entry.write(kept)
    found: dict[str, Any] = kept["counted"]
    return found


def facts(recipe: Recipe, dataset: Dataset) -> dict[str, Any]:
    """Return all facts of the data in splits, as `Data.facts`.

    Raises:
        RecipeError, DataError: as `Data.of`.
    """
    entry = entry_of(recipe, dataset)
    kept = entry.read() if entry is not None else {}
    if "facts" not in kept:
        data = _data(recipe, dataset)
        kept = {"facts": data.facts}
        if data.dataset.is_absent:
            return data.facts
        if entry is not None:
            entry.write(kept)
    found: dict[str, Any] = kept["facts"]
    return found


def dataset_of(recipe: Recipe) -> Dataset:
    """Return the dataset of a recipe, or what the recipe declares of it where its files are not there.

    Raises:
        RecipeError: something is wrong with it, or the files are not there and nothing is declared.
    """
    try:
        found: Dataset = build.dataset(recipe.section("data", "dataset"))
        return found
    except RecipeError as error:
        absent = stand_in(recipe, error.__cause__)
        if absent is None:
            raise
        return absent


def _data(recipe: Recipe, dataset: Dataset) -> Data:
    """The dataset in splits; where its files turn out to be missing, what the recipe declares of it."""
    try:
        return Data.of(recipe, dataset)
    except DataError as error:
        absent = stand_in(recipe, error.__cause__)
        if absent is None:
            raise
        return Data.of(recipe, absent)


def entry_of(recipe: Recipe, dataset: Dataset) -> Entry | None:
    """Return where facts of the data are kept, for the files as they are now; None where there is no such place."""
    files = None
    with contextlib.suppress(OSError, ValueError):  # what is wrong with them is told when they are read
        files = dataset.files()
    if files is None:
        return None
    section = recipe.section("data")
    described = {
        "dataset": section["dataset"].plain(),
        "data": {key: value.plain() for key, value in section.data.items() if key not in UNRELATED},
        "fit": [recipe.setting("fit", key) for key in ("batch_tokens", "shuffle")],
        "rows": rows_of(recipe),
    }
    if own_python := kept_plugins.used_by(section["dataset"]):
        described["plugins"] = [plugin.sha256 for plugin in own_python]
    return Entry(described, files)


def remember(entry: Entry | None, dataset: Dataset) -> None:
    """Tell a dataset that counts slowly what is kept of its files."""
    if entry is not None and hasattr(dataset, "remember_sizes") and (sizes := entry.read().get("sizes")):
        dataset.remember_sizes(sizes)


def keep(entry: Entry | None, data: Data, dataset: Dataset) -> None:
    """Keep the facts of data that have been read."""
    if entry is not None:
        entry.write(_measured(data, dataset) | {"facts": data.facts})


def check_targets(recipe: Recipe, data: Data, dataset: Dataset) -> None:
    """Raise if a target of any split cannot be learned; files that were seen to be right are not read again.

    Args:
        dataset: that of the recipe, from which the data are made.
    Raises:
        DataError: one cannot.
    """
    if not data.dataset.has_target_files:
        return
    entry = entry_of(recipe, dataset)
    if entry is not None and entry.read().get("targets_are_right"):
        return
    messages.status("checking the targets ...")
    with reading():
        for part in dict.fromkeys(split.part for split in data.splits.values()):
            if (line := data.dataset.wrong_target(part)) is not None:
                raise DataError(line)
    if entry is not None:
        entry.write({"targets_are_right": True})


def _measured(data: Data, dataset: Dataset) -> dict[str, Any]:
    count: dict[str, Any] = {"train_size": data.splits["train"].size}
    if data.rows is not None:
        count["rows"] = data.rows
    if data.train_batches is not None:
        count["train_batches"] = data.train_batches
    sizes = {"sizes": dataset.sizes()} if hasattr(dataset, "remember_sizes") else {}
    return {"counted": count} | sizes
