"""Tasks are found by scanning their folder; facts of runs made before they named one are recognised."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import dltool
from dltool.errors import DataError
from dltool.recipe import catalogue
from dltool.tasks import base
from dltool.tasks.base import Task
from dltool.tasks.regression import Regression

PACKAGE = Path(dltool.__file__).parent
FACTS = "(directions|sequence_length|(source_|target_)?vocabulary_size)"
PROBES = re.compile(rf'"{FACTS}" (not )?in|isinstance\(.*Dataset\b')
WITH_KINDS = ("tasks/", "data/", "library/datasets/")


@pytest.mark.parametrize("name", base.names())
def test_a_task_is_one_file_that_gives_one_class(name: str) -> None:
    task = base.find(name)
    assert isinstance(task, Task) and task.name == name and task.targets
    assert base.find(name) is task  # so that tasks are compared by identity


def test_the_four_first_tasks_are_found() -> None:
    assert {"classification", "regression", "language", "translation"} <= {*base.names()}
    assert not {"base", "scoring", "outputs"} & {*base.names()}


@pytest.mark.parametrize(
    ("facts", "name"),
    [
        ({"input_shape": [8, 8, 1], "num_classes": 10}, "classification"),
        ({"features": {"a": "float"}, "num_targets": 1}, "regression"),
        ({"input_shape": [None], "sequence_length": 8, "num_classes": 9, "vocabulary_size": 9}, "language"),
        ({"directions": ["en-de"], "tokens": "bpe", "max_length": 9}, "translation"),
        ({"input_shape": [224, 224, 3]}, "classification"),  # of `summary --input-shape`
        ({"num_classes": 3, "task": "regression"}, "regression"),  # what facts name counts
    ],
)
def test_facts_are_recognised(facts: dict[str, object], name: str) -> None:
    assert base.of(facts).name == name


def test_an_unknown_task_is_named_with_those_known() -> None:
    with pytest.raises(LookupError, match="no task named 'detecton'. (Known: classification|Did you mean)"):
        base.find("detecton")
    with pytest.raises(DataError, match="no task named 'detecton'. .* give the plugin that has it"):
        base.of({"task": "detecton"})


def test_a_task_of_a_plugin_is_found_by_its_class(monkeypatch: pytest.MonkeyPatch) -> None:
    class DepthEstimation(Regression):
        targets = "depths"

    monkeypatch.setattr(base, "elsewhere", lambda: {"depth_estimation": lambda: DepthEstimation})
    assert "depth_estimation" in base.names()
    try:
        assert base.of({"task": "depth_estimation"}).targets == "depths"
        assert base.find("depth_estimation").name == "depth_estimation"
    finally:
        base.find.cache_clear()


def test_kinds_of_data_are_asked_for_in_tasks_and_data_alone() -> None:
    found = [
        f"{path.relative_to(PACKAGE)}:{number}"
        for path in sorted(PACKAGE.rglob("*.py"))
        if not path.relative_to(PACKAGE).as_posix().startswith(WITH_KINDS)
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        if PROBES.search(line) and "h5py.Dataset" not in line
    ]
    assert found == []


@pytest.mark.parametrize("name", sorted(catalogue.own("datasets")))
def test_every_dataset_names_a_task(name: str) -> None:
    task = catalogue.find("datasets", name).task
    assert isinstance(task, property) or task in base.names()
