"""What `make quick` runs: the tests that imports, places and names join to what changed, the nearest first."""

from __future__ import annotations

from tests import nearest

SOURCES = {
    "dltool/errors/wording.py": "",
    "dltool/data/tables.py": "from dltool.errors import wording",
    "dltool/cli/eval.py": "def run():\n    import dltool.data.tables",
    "dltool/library/layers/maxout.py": "",
    "tests/errors/test_wording.py": "from dltool.errors import wording",
    "tests/data/test_tables.py": "from dltool.data import tables",
    "tests/cli/test_eval.py": "from tests.command_line import run",
    "tests/command_line.py": "from dltool.cli import eval",
    "tests/library/layers/test_layer_maxout.py": "import keras",
    "tests/test_readme.py": "open('README.md')",
    "tests/test_recipes.py": "",
    "tests/test_architecture.py": "",
}


def near(*changed: str) -> dict[str, int]:
    found = nearest.distances_to(changed, SOURCES)
    assert found.pop(nearest.ALWAYS) == 0
    return found


def test_a_test_is_as_near_as_the_imports_between_are_few() -> None:
    assert near("dltool/errors/wording.py") == {
        "tests/errors/test_wording.py": 1,
        "tests/data/test_tables.py": 2,
        "tests/cli/test_eval.py": 3,  # by its place: it belongs to eval.py, which reads tables, which reads wording
    }
    assert near("dltool/cli/eval.py") == {"tests/cli/test_eval.py": 1}


def test_a_changed_test_is_nearest() -> None:
    assert near("tests/data/test_tables.py") == {"tests/data/test_tables.py": 0}


def test_what_only_recipes_name_is_found_by_its_place() -> None:
    assert near("dltool/library/layers/maxout.py") == {"tests/library/layers/test_layer_maxout.py": 1}


def test_recipes_and_documents_reach_the_tests_that_read_them() -> None:
    assert near("recipes/cnn/new.yaml") == {"tests/test_recipes.py": 1}
    assert near("README.md") == {"tests/test_readme.py": 1}
    assert near("somewhere/else.txt") == {}


def test_every_test_file_is_reached_by_a_change_of_its_own() -> None:
    sources = nearest.read_sources()
    assert "tests/test_nearest.py" in nearest.distances_to(["tests/nearest.py"], sources)
    assert len(nearest.distances_to(["dltool/recipe/values.py"], sources)) > 20
