"""dltool recipes --datasets lists every dataset with every argument, its default and its meaning."""

from __future__ import annotations

import csv
import inspect
import io
import json

import pytest

from dltool.recipe import catalogue, word_tables
from tests.command_line import run


def test_every_argument_of_every_dataset_has_a_default_and_a_meaning(capsys: pytest.CaptureFixture[str]) -> None:
    done = run(capsys, "recipes", "--datasets", "--format", "json")
    assert (done.status, done.err) == (0, "")
    report = json.loads(done.out)
    datasets = {row["dataset"]: row["holds"] for row in report["datasets"]}
    assert list(datasets) == catalogue.known("datasets") and all(datasets.values())
    arguments = {(row["dataset"], row["argument"]): row for row in report["arguments"]}
    for name in datasets:
        for argument, parameter in inspect.signature(catalogue.find("datasets", name)).parameters.items():
            row = arguments.pop((name, argument))
            required = parameter.default is parameter.empty
            assert row["default"] == ("required" if required else repr(parameter.default))
            assert len(row["meaning"]) > 10, f"{name}: the docstring does not say what {argument} is"
    assert not arguments
    assert report["arguments"][0]["dataset"] == "AddingProblem"


def test_csv_and_a_narrow_table_hold_all_of_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = list(csv.DictReader(io.StringIO(run(capsys, "recipes", "--datasets", "--format", "csv").out)))
    assert {"dataset": "ImageFolder", "argument": "crop_to_aspect_ratio", "default": "False"}.items() <= {
        key: value for row in rows if row["argument"] == "crop_to_aspect_ratio" for key, value in row.items()
    }.items()
    monkeypatch.setenv("COLUMNS", "80")
    text = run(capsys, "recipes", "--datasets").out
    assert "crop_to_aspect_ratio" in text and max(map(len, text.splitlines())) <= 80


def test_an_inherited_argument_has_the_default_of_the_parent() -> None:
    _, arguments = word_tables.of_word("layers", "Dense").values()
    defaults = {argument: default for _, argument, default, _, _ in arguments.records()}
    assert (defaults["trainable"], defaults["autocast"], defaults["dtype"]) == ("True", "True", "None")
    assert defaults["units"] == "required"
