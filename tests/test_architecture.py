"""Imports point downwards only: rooms and their ranks are read from one line and held against the syntax trees."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import dltool
from dltool.recipe import catalogue, signatures

# A room may import the rooms of lower ranks, never one of its own rank or above.
RANKS = (
    "cli > init_stats lr_schedule filters landscape > runs > recipe > tasks > decoding training > library > data output"
    " > graph ops > errors"
)
RANK = {room: number for number, rooms in enumerate(RANKS.split(" > ")) for room in rooms.split()}
PACKAGE = Path(dltool.__file__).parent
FILES = {path.relative_to(PACKAGE).as_posix(): path for path in sorted(PACKAGE.rglob("*.py"))}
HEAVY = ("tensorflow", "keras", "torch", "jax")
# Rooms and folders whose modules load without TensorFlow; their functions import it where they need it.
LIGHT = ("cli/", "errors/", "recipe/", "data/formats/", "data/tokenizers/", "library/datasets/", "library/schedules/")
MOST_NAMES, MOST_LINES, MOST_LINES_OF_CLI = 18, 400, 250


def imported(text: str, anywhere: bool = True) -> Iterator[str]:
    """Yield the modules that a file imports, `from dltool import x` as dltool.x.

    Args:
        anywhere: also inside functions; else only what loading the file imports.
    """

    def visit(node: ast.AST) -> Iterator[str]:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "a relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        function = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        types_only = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        if types_only or function and not anywhere:
            return
        for child in ast.iter_child_nodes(node):
            yield from visit(child)

    return visit(ast.parse(text))


def forbidden(room: str, text: str) -> list[str]:
    """Return the imports of a file of a room that do not point downwards; the package's public classes are above all.

    Args:
        room: the file's, "" of a module of the package itself.
    """
    rooms = {name.split(".")[1] for name in imported(text) if name.startswith("dltool.")} - {room, "__version__"}
    return sorted(other for other in rooms if RANK.get(other, -1) <= RANK.get(room, -1))


def test_every_room_has_a_rank() -> None:
    rooms = {name.split("/")[0] for name in FILES if "/" in name}
    assert rooms == set(RANK)
    assert len(FILES) > 300


def test_the_reader_of_imports_sees_them() -> None:
    text = "import a.b\nfrom dltool import runs\ndef f():\n    import keras\nif TYPE_CHECKING:\n    import pandas\n"
    assert [*imported(text)] == ["a.b", "dltool.runs", "keras"]
    assert [*imported(text, anywhere=False)] == ["a.b", "dltool.runs"]


def test_an_import_upwards_or_sideways_is_seen() -> None:
    assert forbidden("graph", "from dltool.runs import directory") == ["runs"]
    assert forbidden("data", "def f():\n    from dltool.output import tables") == ["output"]
    assert forbidden("cli", "from dltool.runs import directory\nimport dltool.errors") == []
    assert forbidden("runs", "from dltool import Dataset, __version__") == ["Dataset"]
    assert forbidden("", "from dltool.cli import app\nfrom dltool import plugin") == ["plugin"]


@pytest.mark.parametrize("name", FILES)
def test_imports_point_downwards(name: str) -> None:
    room = name.split("/")[0] if "/" in name else ""
    assert forbidden(room, FILES[name].read_text(encoding="utf-8")) == []


def test_the_package_itself_begins_the_command_line_and_names_what_own_python_derives_from() -> None:
    assert {name for name in FILES if "/" not in name} == {"__init__.py", "__main__.py"}
    for name, home in dltool._HOMES.items():
        assert signatures.locate("dltool", name) == signatures.locate(home, name) != None  # noqa: E711
    assert {*dltool._HOMES, "__version__"} == {*dltool.__all__}
    code = """
import sys, dltool
assert not {"numpy", "dltool.data", "dltool.tasks"} & sys.modules.keys()
from dltool import Dataset, Examples, Schedule, Task
assert not {"keras", "tensorflow"} & sys.modules.keys()
try:
    dltool.Datset
except AttributeError:
    print("done")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "done\n"


@pytest.mark.parametrize("name", [name for name in FILES if name.startswith(LIGHT)])
def test_light_rooms_load_without_tensorflow(name: str) -> None:
    loaded = imported(FILES[name].read_text(encoding="utf-8"), anywhere=False)
    assert [module for module in loaded if module.split(".")[0] in HEAVY] == []


def test_reading_recipes_needs_neither_keras_nor_numpy_nor_pandas() -> None:
    code = """
import sys
from dltool.recipe import build, builder, overrides, reading, values
print(sorted({"tensorflow", "keras", "numpy", "pandas", "scipy", "sklearn"} & sys.modules.keys()))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_runs_load_before_tensorflow_is_set_up() -> None:
    """Commands import them before `backend` quietens TensorFlow: only what registers classes for Keras loads it."""
    files = [Path(name).with_suffix("") for name in FILES if name.startswith("runs/")]
    modules = [".".join(("dltool", *path.parts)) for path in files]
    modules.remove("dltool.runs.keras_objects")
    assert "dltool.runs.train" in modules
    code = f"import sys, {', '.join(modules)}; print(sorted({{'tensorflow', 'keras'}} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize(
    ("call", "homes"),
    [
        ("begin_anew", {"runs/preparation.py"}),  # one preparation of a recipe for work
        (
            "RunDirectory",  # one opened run
            {"runs/opened.py", "runs/directory.py", "runs/train.py", "runs/start.py", "runs/pretrained.py"},
        ),
    ],
)
def test_each_step_exists_once(call: str, homes: set[str]) -> None:
    """A recipe is prepared and a run opened by one module; three others write runs."""
    assert {name for name, path in FILES.items() if call in _called(path.read_text(encoding="utf-8"))} == homes


def _called(text: str) -> set[str]:
    """Return the names of the functions and methods that a file calls."""
    calls = [node.func for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call)]
    return {getattr(call, "attr", None) or getattr(call, "id", "") for call in calls}


def test_the_house_is_small() -> None:
    names = [path.name for path in PACKAGE.iterdir() if not path.name.startswith("_")]
    assert len(names) <= MOST_NAMES
    lines = {name: len(path.read_text(encoding="utf-8").splitlines()) for name, path in FILES.items()}
    long = {name for name, n in lines.items() if n > (MOST_LINES_OF_CLI if name.startswith("cli/") else MOST_LINES)}
    assert long == set()


@pytest.mark.parametrize("kind", sorted(catalogue.KINDS))
def test_a_word_of_recipes_is_one_file(kind: str) -> None:
    """Every file of a folder of words gives one word; helpers begin with an underscore."""
    modules = {module.rpartition(".")[2] for module in catalogue.own(kind).values()}
    folder = PACKAGE / catalogue.folder(kind)
    assert modules == {path.stem for path in folder.glob("[!_]*.py")}


@pytest.mark.parametrize("module", ["runs.train", "runs.evaluate", "runs.predict", "tasks.several"])
def test_what_begins_a_command_leaves_keras_to_be_configured(module: str) -> None:
    code = f"import sys, dltool.{module}; assert not {{'keras', 'tensorflow'}} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=PACKAGE.parent)
