"""Imports point one way only, read from the syntax trees of the package."""
# ruff: noqa: E501

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import dltool

PACKAGE = Path(dltool.__file__).parent
FILES = {path.relative_to(PACKAGE).as_posix(): path for path in sorted(PACKAGE.rglob("*.py"))}
LEAVES = ("applications", "callbacks", "constraints", "datasets", "decoding", "diagnostics", "initializers", "layers",
          "losses", "metrics", "optimizers", "pipelines", "procedures", "schedules", "tokenization",
          "visualization")  # fmt: skip
HOUSE = {"dltool.recipe", "dltool.stage_list", "dltool.bases", "dltool.values", "dltool.overrides",
         "dltool.names", "dltool.build", "dltool.runs", "dltool.objects", "dltool.outlines", "dltool.planning",
         "dltool.plans_of_runs", "dltool.plan_tables", "dltool.preparation", "dltool.starting", "dltool.trial",
         "dltool.variations", "dltool.data", "dltool.other_data", "dltool.experiment", "dltool.commands", "dltool.cli"}  # fmt: skip
HEAVY = {"tensorflow", "keras", "tf_keras", "torch", "jax"}
LIGHT = ("bases.py", "layers/feature_columns.py", "layers/learned_file.py", "layers/wiring.py", "stage_list.py", "procedures/stage_plan.py", "errors.py", "values.py", "overrides.py", "recipe.py", "names.py", "objects.py", "build.py", "runs.py", "tables.py",
         "cli.py", "interruption.py", "progress.py", "outlines.py", "planning.py", "plans_of_runs.py", "plan_tables.py")  # fmt: skip


def imports(path: Path, anywhere: bool = True) -> set[str]:
    """Modules that a file imports, `from dltool import x` as dltool.x.

    Args:
        anywhere: also inside functions; else only what loading the file imports.
    """
    found: set[str] = set()

    def visit(node: ast.AST) -> None:
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found.add(node.module)
            found.update(f"{node.module}.{alias.name}" for alias in node.names if node.module.startswith("dltool"))
        elif (
            isinstance(node, ast.If)
            and "TYPE_CHECKING" in ast.unparse(node.test)
            or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            and not anywhere
        ):
            return
        for child in ast.iter_child_nodes(node):
            visit(child)

    visit(ast.parse(path.read_text(encoding="utf-8")))
    return found


def within(modules: set[str], roots: set[str]) -> set[str]:
    return {module for module in modules if any(module == root or module.startswith(f"{root}.") for root in roots)}


def test_the_package_is_found() -> None:
    assert {"cli.py", "recipe.py", "datasets/digits.py", "commands/train.py"} <= FILES.keys()
    leaves = [name for name in FILES if name.startswith(tuple(f"{leaf}/" for leaf in LEAVES))]
    assert len(leaves) > 20


def test_the_reader_of_imports_sees_them(tmp_path: Path) -> None:
    path = tmp_path / "x.py"
    path.write_text(
        "import a.b\nfrom dltool import runs\ndef f():\n    import keras\nif TYPE_CHECKING:\n    import pandas\n"
    )
    assert imports(path) == {"a.b", "dltool", "dltool.runs", "keras"}
    assert imports(path, anywhere=False) == {"a.b", "dltool", "dltool.runs"}


@pytest.mark.parametrize("name", [name for name in FILES if name.startswith(tuple(f"{leaf}/" for leaf in LEAVES))])
def test_leaves_know_nothing_of_recipes_and_runs(name: str) -> None:
    assert within(imports(FILES[name]), HOUSE) == set()


@pytest.mark.parametrize("name", LIGHT)
def test_loading_what_is_light_imports_no_tensorflow(name: str) -> None:
    assert within(imports(FILES[name], anywhere=False), HEAVY) == set()


@pytest.mark.parametrize("name", ["errors.py", "values.py", "overrides.py", "recipe.py"])
def test_recipes_never_need_keras_numpy_or_pandas(name: str) -> None:
    assert within(imports(FILES[name]), HEAVY | {"numpy", "pandas", "scipy", "sklearn"}) == set()


@pytest.mark.parametrize(
    "name",
    [
        *(name for name in FILES if name.startswith(("datasets/", "schedules/", "commands/", "tokenization/"))),
        *(
            f"visualization/{name}.py"
            for name in ("history", "percentiles", "schedules", "signal_depth", "terminal_plot")
        ),
    ],
)
def test_datasets_schedules_and_commands_load_without_tensorflow(name: str) -> None:
    assert within(imports(FILES[name], anywhere=False), HEAVY) == set()


def test_the_command_line_loads_what_is_light_alone() -> None:
    loaded = {module for module in imports(FILES["cli.py"], anywhere=False) if module.startswith("dltool")}
    known = {"command_class", "control_characters", "errors", "messages", "quick_start", "__version__"}
    assert {module.split(".")[1] for module in loaded if "." in module} <= known


@pytest.mark.parametrize(
    ("name", "allowed"),
    [
        ("control_characters.py", set()),
        ("errors.py", {"control_characters"}),
        ("messages.py", {"control_characters"}),
        ("command_class.py", {"build", "errors", "messages"}),
        ("values.py", {"errors"}),
        ("overrides.py", {"errors", "values"}),
        ("declared_facts.py", {"errors", "values"}),
        ("recipe.py", {"declared_facts", "errors", "overrides", "stage_list", "values"}),
        ("stage_list.py", {"errors", "values"}),
        ("names.py", set()),
        ("quick_start.py", set()),
        ("ownership.py", {"__version__"}),
        ("run_files.py", {"errors", "ownership", "values"}),
        ("writing.py", {"control_characters", "errors", "messages", "ownership"}),
        ("callback_paths.py", {"errors", "run_files", "writing"}),
        ("objects.py", {"callback_paths", "errors", "layers", "names", "recipe", "values"}),
        (
            "build.py",
            {
                "callback_paths",
                "errors",
                "layers",
                "metric_readings",
                "names",
                "objects",
                "outlines",
                "procedures",
                "recipe",
            },
        ),
        ("bases.py", {"errors", "layers", "recipe", "runs", "values"}),
        ("tables.py", {"control_characters", "messages", "table_layout"}),
        ("table_layout.py", set()),
        ("outlines.py", {"names"}),
        (
            "planning.py",
            {
                "absent_data",
                "changes",
                "data",
                "data_facts",
                "diagnostics",
                "errors",
                "objects",
                "outlines",
                "overrides",
                "preparation",
                "procedures",
                "recipe",
                "runs",
                "schedules",
                "stage_list",
            },
        ),
        ("plans_of_runs.py", {"diagnostics", "errors", "outlines", "planning", "runs", "schedules"}),
        ("plan_tables.py", {"diagnostics", "errors", "objects", "planning", "schedules", "tables", "visualization"}),
        ("backend.py", {"cudnn_recurrence", "errors", "messages"}),
        ("interruption.py", {"errors"}),
    ],
)
def test_a_room_imports_only_the_rooms_below_it(name: str, allowed: set[str]) -> None:
    own = {module.split(".")[1] for module in imports(FILES[name]) if module.startswith("dltool.")}
    assert own <= allowed


@pytest.mark.parametrize("name", [name for name in FILES if name not in ("cli.py", "__main__.py")])
def test_nothing_below_the_command_line_imports_it(name: str) -> None:
    forbidden = {"dltool.cli"} if name.startswith("commands/") else {"dltool.cli", "dltool.commands"}
    assert within(imports(FILES[name]), forbidden) == set()


@pytest.mark.parametrize("name", [name for name in FILES if name.startswith("commands/")])
def test_commands_print_nothing(name: str) -> None:
    tree = ast.parse(FILES[name].read_text(encoding="utf-8"))
    calls = [ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)]
    assert not {"print", "typer.echo", "sys.stdout.write", "rich.print"} & set(calls)


def test_a_word_of_keras_is_one_file_a_class() -> None:
    """A file of a named folder gives one public class of the file's name, or is a helper without any."""
    from dltool import names

    for leaf in ("layers", "losses", "metrics", "optimizers", "callbacks", "constraints", "schedules", "initializers"):
        for name, module in names.own(leaf).items():
            assert module.rpartition(".")[2].replace("_", "") == name.lower()
