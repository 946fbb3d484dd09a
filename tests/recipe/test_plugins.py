"""Own Python joins the catalogue by its kinds, from its source; its code runs only when an object is made of it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from dltool.errors import RecipeError, UsageError
from dltool.recipe import build, catalogue, module_outlines, plugins
from dltool.tasks import base
from tests import own_words

WORDS = {
    "layers": "Bump",
    "datasets": "HalfMoons",
    "schedules": "Sawtooth",
    "metrics": "WorstClass",
    "procedures": "Descent",
    "applications": "TinyNet",
}


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    with own_words.forgotten():
        yield


@pytest.mark.parametrize(("kind", "name"), WORDS.items())
def test_a_word_of_each_kind_is_found_with_its_arguments_and_suggested(kind: str, name: str, tmp_path: Path) -> None:
    assert not catalogue.has(kind, name)
    catalogue.use_plugins([own_words.write(tmp_path)])
    assert catalogue.has(kind, name) and name in catalogue.known(kind)
    assert catalogue.find(kind, name).__name__ == name
    word = catalogue.describe(kind, name)
    assert word.line.endswith(".") and word.module == "dltool_plugins.own_words"
    arguments = {
        "Bump": "width",
        "HalfMoons": "examples",
        "Sawtooth": "rate",
        "WorstClass": "dtype",
        "TinyNet": "width",
    }
    assert arguments.get(name) in word.arguments or name == "Descent"
    assert plugins.words(kind) == {name: "dltool_plugins.own_words"}
    plugins.forget()
    assert not catalogue.has(kind, name)


def test_a_task_and_a_command_are_found(tmp_path: Path) -> None:
    catalogue.use_plugins([own_words.write(tmp_path)])
    assert "half_circles" in base.names() and base.find("half_circles").name == "half_circles"
    with pytest.raises(LookupError, match="no task named 'half_circle'.*Did you mean 'half_circles'"):
        base.find("half_circle")
    assert plugins.commands() == {"own-words": ("dltool_plugins.own_words", "Greet on stdout.")}
    plugins.forget()
    with pytest.raises(LookupError):
        base.find("half_circles")


def test_kinds_come_from_parents_through_aliases_and_other_own_classes(tmp_path: Path) -> None:
    (tmp_path / "words.py").write_text("""
import tensorflow as tf
from tensorflow import keras as k
import keras.layers as l
from keras.src.losses.loss import Loss as Base
from dltool.library.schedules.cosine_decay import CosineDecay
from dltool.library.layers._wiring import Composite
class One(tf.keras.layers.Layer): ...
class Two(k.metrics.Mean): ...
class Three(One): ...
class Four(Base): ...
class Five(l.Dense): ...
class Six(k.callbacks.EarlyStopping): ...
class Seven(k.regularizers.L2): ...
class Eight(k.constraints.MaxNorm): ...
class Nine(k.initializers.HeNormal): ...
class Ten(k.optimizers.Adam): ...
class Eleven(CosineDecay): ...
class Twelve(Composite): ...
class Circle(Circle): ...
class Plain: ...
class Unknown(no.such.Thing): ...
""")
    catalogue.use_plugins([tmp_path / "words.py"])
    found = {kind: sorted(plugins.words(kind)) for kind in plugins.kinds() if plugins.words(kind)}
    assert found == {
        "layers": ["Five", "One", "Three", "Twelve"],
        "metrics": ["Two"],
        "losses": ["Four"],
        "callbacks": ["Six"],
        "regularizers": ["Seven"],
        "constraints": ["Eight"],
        "initializers": ["Nine"],
        "optimizers": ["Ten"],
        "schedules": ["Eleven"],
    }
    assert "filters" not in catalogue.describe("layers", "Five").arguments
    assert "units" in catalogue.describe("layers", "Five").arguments


@pytest.mark.parametrize(
    ("name", "text", "line"),
    [
        ("absent.py", None, "absent.py: cannot be read: No such file or directory."),
        ("broken.py", "x = 1\nclass", "broken.py:2: is no Python: invalid syntax."),
        ("words.txt", "import keras\nclass A(keras.layers.Layer): ...", "must be a Python file"),
        ("two words.py", "import keras\nclass A(keras.layers.Layer): ...", "must be a Python file"),
        ("empty.py", "X = 1", "empty.py: has no public class that a recipe may name, and no function empty"),
        (
            "mine.py",
            "import keras\nclass Dense(keras.layers.Layer): ...",
            "Keras has the layer Dense too. Rename yours.",
        ),
        ("mine.py", "import keras\nclass Cutout(keras.layers.Layer): ...", "dltool has the layer Cutout too."),
        (
            "mine.py",
            "from dltool import Task\nclass Regression(Task): ...",
            "dltool has the task Regression too. Rename yours.",
        ),
        ("mine.py", "def ResNet50(): ...", "Keras has the application ResNet50 too."),
        ("nul.py", "x = '\0'", "nul.py:1: is no Python"),
    ],
)
def test_what_is_no_plugin_is_refused_in_one_line(name: str, text: str | None, line: str, tmp_path: Path) -> None:
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(UsageError) as raised:
        catalogue.use_plugins([tmp_path / name])
    assert line in str(raised.value) and "\n" not in str(raised.value)


def test_two_files_of_one_name_are_refused(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    first, second = own_words.write(tmp_path), own_words.write(tmp_path / "below")
    catalogue.use_plugins([first, first])
    with pytest.raises(UsageError, match="has the same name. Rename one of them"):
        catalogue.use_plugins([second], add=True)


def test_a_word_of_two_files_is_refused_by_its_name_and_neither_joins(tmp_path: Path) -> None:
    first = own_words.write(tmp_path)
    catalogue.use_plugins([first])
    second = tmp_path / "more.py"
    second.write_text("import keras\nclass Bump(keras.layers.Layer): ...\nclass Hump(keras.layers.Layer): ...\n")
    for _ in range(2):  # a file that was refused is not there the next time
        with pytest.raises(UsageError) as raised:
            catalogue.use_plugins([second], add=True)
        assert str(raised.value) == f"--plugin {second}: {first} has Bump of the layers too. Rename one of them."
    assert [plugin.file for plugin in plugins.given()] == [first] and not catalogue.has("layers", "Hump")


def test_what_an_own_architecture_gives_must_be_a_model(tmp_path: Path) -> None:
    (tmp_path / "nets.py").write_text("def Net(input_shape): return 3\n")
    catalogue.use_plugins([tmp_path / "nets.py"])
    text = own_words.RECIPE.partition("model:")[0] + "model: {Net: {input_shape: '${data.input_shape}'}}\n"
    (tmp_path / "r.yaml").write_text(
        text.replace("HalfMoons: 50", "Digits: {}") + "compile: {optimizer: sgd, loss: mse}"
    )
    recipe = build.load(str(tmp_path / "r.yaml"))
    with pytest.raises(RecipeError, match=r"r.yaml:2:8: model: gives int, which is no Keras model"):
        build.model(recipe, {"input_shape": (2,), "num_classes": 2}, None)


def test_a_file_that_fails_says_its_line(tmp_path: Path) -> None:
    (tmp_path / "failing.py").write_text("import keras\nclass Odd(keras.layers.Layer): ...\n\n1 / 0\n")
    catalogue.use_plugins([tmp_path / "failing.py"])
    with pytest.raises(UsageError, match=r"failing\.py:4: ZeroDivisionError: division by zero"):
        catalogue.find("layers", "Odd")


def test_mistakes_in_own_words_are_reported_together_and_no_code_runs(tmp_path: Path) -> None:
    path = own_words.write(tmp_path)
    path.write_text(f"{path.read_text()}\nraise SystemExit('the code ran')\n")
    catalogue.use_plugins([path])
    text = own_words.RECIPE.replace("width: 2.0", "widht: 2.0").replace("Sawtooth:", "Sawtoth:")
    text = text.replace("[WorstClass]", "[WurstClass]").replace("HalfMoons", "HalfMoon")
    (tmp_path / "r.yaml").write_text(text)
    with pytest.raises(RecipeError) as raised:
        build.load(str(tmp_path / "r.yaml"))
    assert [problem.message for problem in raised.value.problems] == [
        "no dataset named 'HalfMoon'. Did you mean 'HalfMoons'?",
        "no argument 'widht'. Did you mean 'width'?",
        "no schedule named 'Sawtoth'. Did you mean 'Sawtooth'?",
        "no metric named 'WurstClass'. Did you mean 'WorstClass'?",
    ]


def test_a_value_of_an_own_dataset_is_checked_at_its_line(tmp_path: Path) -> None:
    catalogue.use_plugins([own_words.write(tmp_path)])
    (tmp_path / "r.yaml").write_text(own_words.RECIPE.replace("HalfMoons: 50", "HalfMoons: -5"))
    with pytest.raises(RecipeError, match=r"r\.yaml:1:18: data.dataset.HalfMoons: The 'examples' parameter.*Got -5"):
        build.load(str(tmp_path / "r.yaml"))


def test_an_installed_package_is_found_by_its_entry_point(tmp_path: Path) -> None:
    own_words.install(tmp_path)
    code = """
import sys
from dltool.recipe import catalogue, plugins, word_tables
from dltool.tasks import base
print(catalogue.known("layers").count("Bump"), catalogue.has("layers", "Hidden"), "half_circles" in base.names())
print(plugins.commands(), word_tables.of_word("layers", "Bump")["words"].columns["from"], "keras" in sys.modules)
print(catalogue.describe("datasets", "HalfMoons").module, plugins.installed()[-1].package)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=True,
        env={**os.environ, "PYTHONPATH": f"{tmp_path}:{catalogue.PACKAGE.parent}"},
    )  # fmt: skip
    assert done.stdout.splitlines() == [
        "1 False True",
        "{'own-words': ('garden.own_words', 'Greet on stdout.')} ['garden'] False",
        "garden.own_words ('garden', '1.2')",
    ]


def test_outlines_of_a_file_that_changes_are_read_again(tmp_path: Path) -> None:
    path = own_words.write(tmp_path)
    catalogue.use_plugins([path])
    path.write_text(path.read_text().replace("class Bump", "class Hump"))
    module_outlines.forget()
    catalogue.use_plugins([path])
    assert list(plugins.words("layers")) == ["Hump"]
