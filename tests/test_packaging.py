"""What `pip install .` brings: the command, and the bundled recipes inside the package."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from dltool.recipe import reading

ROOT = Path(__file__).parent.parent
PARTS = ("dltool", "recipes", "pyproject.toml", "README.md", "LICENSE")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of a copy of the tree, built offline."""
    pytest.importorskip("hatchling")
    folder = tmp_path_factory.mktemp("packaging")
    tree = folder / "tree"
    tree.mkdir()
    for part in PARTS:
        if (ROOT / part).is_dir():
            shutil.copytree(ROOT / part, tree / part, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / part, tree)
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    done = subprocess.run(command, cwd=tree, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (built,) = folder.glob("dltool-*.whl")
    return built


def test_the_wheel_holds_every_module_and_recipe_as_it_is(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as file:
        held = {name: file.read(name) for name in file.namelist()}
    recipes = list((ROOT / "recipes").rglob("*.yaml"))
    modules = [*(ROOT / "dltool").rglob("*.py"), *(ROOT / "dltool").rglob("*.txt")]
    assert recipes and modules
    for path in recipes:
        assert held[f"dltool/_recipes/{path.relative_to(ROOT / 'recipes').as_posix()}"] == path.read_bytes()
    for path in modules:
        assert held[path.relative_to(ROOT).as_posix()] == path.read_bytes()
    assert not [name for name in held if name.startswith("tests/") or "__pycache__" in name]


def test_the_wheel_gives_the_command(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as file:
        (points,) = (name for name in file.namelist() if name.endswith(".dist-info/entry_points.txt"))
        lines = file.read(points).decode().split("\n")
    assert lines[:2] == ["[console_scripts]", "dltool = dltool.cli:main"]


def test_the_wheel_says_its_license_authors_and_types(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as file:
        names = file.namelist()
        (metadata,) = (name for name in names if name.endswith(".dist-info/METADATA"))
        lines = file.read(metadata).decode().splitlines()
    assert "dltool/py.typed" in names
    assert [name for name in names if name.endswith("/licenses/LICENSE")]
    assert {"License-Expression: Apache-2.0", "Author: The dltool authors"} <= set(lines)


def test_an_unpacked_wheel_finds_its_recipes(wheel: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(wheel) as file:
        file.extractall(tmp_path)
    code = (
        "import json, dltool; from dltool.recipe import reading; "
        "print(json.dumps([dltool.__file__, *reading.bundled_names()]))"
    )
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    file, *names = json.loads(done.stdout)
    assert Path(file) == tmp_path / "dltool/__init__.py"
    assert names == reading.bundled_names() and names
