"""What every callback of dltool keeps to, found without being listed."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import pytest

from dltool.recipe import builder, catalogue, reading
from tests.command_line import run

CALLBACKS = sorted(catalogue.own("callbacks"))
LAYER = "hidden"  # of the recipe below
RECIPE = """\
# A tiny net with a callback.
data: {{dataset: Digits, validation_split: 0.2}}
model: [Flatten, {{Dense: {{units: 8, name: hidden}}}}, Dense: "${{data.num_classes}}"]
compile: {{optimizer: adam, loss: {{SparseCategoricalCrossentropy: {{from_logits: true}}}}}}
fit: {{epochs: 1, batch_size: 256, callbacks: [{callback}]}}
"""


def needed(name: str) -> dict[str, Any]:
    """An argument for each that has no default: a layer's name."""
    allowed = builder.parameters(catalogue.find("callbacks", name))
    return {key: LAYER for key, parameter in allowed.items() if parameter.default is parameter.empty}


def test_callbacks_were_found() -> None:
    assert CALLBACKS


@pytest.mark.parametrize("name", CALLBACKS)
def test_docstring_says_arguments_limits_and_reference(name: str) -> None:
    text = inspect.getdoc(catalogue.find("callbacks", name)) or ""
    assert {"Args:", "Limits:", "Reference:"} <= {line.split(" ")[0].strip() for line in text.splitlines()}
    for argument in builder.parameters(catalogue.find("callbacks", name)):
        assert f"\n    {argument}: " in text


@pytest.mark.parametrize("name", CALLBACKS)
def test_trains_in_a_recipe_and_writes_below_the_run_directory_alone(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "r.yaml"
    path.write_text(RECIPE.format(callback=f"{name}: {needed(name)}"))
    assert reading.load(path).get("fit", "callbacks") is not None
    done = run(capsys, "train", path, "--out", "run", "-q")
    assert done.status == 0, done.err
    assert sorted(file.name for file in tmp_path.iterdir()) == ["r.yaml", "run"]
    again = run(capsys, "train", "run", "--overwrite", "-q")
    assert again.status == 0, again.err


@pytest.mark.parametrize("name", CALLBACKS)
def test_a_file_outside_of_the_run_directory_is_refused(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = builder.OUTPUT_ARGUMENTS & builder.parameters(catalogue.find("callbacks", name)).keys()
    for argument in files:
        path = tmp_path / "r.yaml"
        path.write_text(RECIPE.format(callback=f"{name}: {needed(name) | {argument: '../x.csv'}}"))
        done = run(capsys, "train", path, "--out", tmp_path / "run", "-q")
        assert done.status == 2
        assert "must stay below the run directory" in done.err
