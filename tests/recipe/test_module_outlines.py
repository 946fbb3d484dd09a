"""Outlines of modules: what their source says, kept between commands, and never those of a file that has changed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from dltool.recipe import kept_facts, module_outlines, signatures
from dltool.recipe.module_outlines import Argument

SOURCE = '''
from __future__ import annotations
import keras
from keras import layers as l
from . import near
from ..far import Thing as Other

SLOPE = 1.5

@dataclass(frozen=True)
class Settings:
    """Settings of nothing.  More of it."""
    kind: ClassVar[str] = "x"
    size: int
    shape: tuple[int, ...] = (1, 2)

class Base:
    def __init__(self, size, *, slope=SLOPE, **kwargs): ...

class Leaf(Base):
    """A leaf of
    two lines. And more.

    Args:
        units: how
            many.
        a, b: both.
    Raises:
        ValueError: no argument.
    """
    def __init__(self, units, a=None, b=[1], **kwargs): ...
    @abstractmethod
    def call(self): ...

def make(first, /, second, *rest, third=keras.backend.epsilon(), **more): ...
'''


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("DLTOOL_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv(kept_facts.SWITCH, raising=False)
    module_outlines.forget()
    yield tmp_path / "cache/signatures"
    monkeypatch.undo()
    module_outlines.SOURCES.clear()
    module_outlines.forget()


def own(path: Path, text: str = SOURCE) -> str:
    """Write a module at a path and return its name."""
    path.write_text(text)
    module_outlines.SOURCES["stranger.words"] = path
    return "stranger.words"


def test_an_outline_says_what_the_source_says() -> None:
    found = module_outlines.outline(SOURCE.encode(), "house.room.words")
    assert found.imports == {
        "annotations": ("__future__", "annotations"),
        "keras": ("keras", ""),
        "l": ("keras", "layers"),
        "near": ("house.room", "near"),
        "Other": ("house.far", "Thing"),
    }
    assert found.definitions["Settings"].arguments == (Argument("size", None), Argument("shape", "(1, 2)"))
    assert found.definitions["Settings"].line == "Settings of nothing."
    assert found.definitions["Leaf"].line == "A leaf of two lines."
    assert (found.definitions["Leaf"].is_abstract, found.definitions["Base"].is_abstract) == (True, False)
    assert [(one.name, one.default) for one in found.definitions["make"].arguments or ()] == [
        ("first", None),
        ("second", None),
        ("third", "keras.backend.epsilon()"),
    ]


def test_a_default_that_is_a_constant_is_shown_by_its_value() -> None:
    source = b"A = ((-2.0, 0.0), (2, 0))\nB = 'b'\nC = [x, 1]\nD = tuple(A)\ndef f(a=A, b=B, c=C, d=D): ...\n"
    arguments = module_outlines.outline(source, "words").definitions["f"].arguments or ()
    assert [one.default for one in arguments] == ["((-2.0, 0.0), (2, 0))", "'b'", "C", "D"]


def test_relative_imports_of_a_package_count_from_itself() -> None:
    found = module_outlines.outline(b"from .near import x", "house.room", is_package=True)
    assert found.imports == {"x": ("house.room.near", "x")}


def test_parents_add_arguments_that_they_are_given(cache: Path, tmp_path: Path) -> None:
    name = own(tmp_path / "words.py")
    found = {one.name: one.default for one in signatures.parameters(name, "Leaf")}
    assert found == {"units": signatures.literal(None), "a": None, "b": [1], "size": None, "slope": 1.5}
    assert signatures.meanings(name, "Leaf") == {"units": "how many.", "a": "both.", "b": "both."}


def test_outlines_are_kept_and_a_changed_file_is_read_again(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = own(tmp_path / "words.py")
    first = module_outlines.read(name)
    module_outlines.keep()
    assert len([*cache.iterdir()]) == 1
    module_outlines.forget()
    parsed: list[str] = []
    outline = module_outlines.outline

    def counted(source: bytes, module: str, is_package: bool = False) -> module_outlines.Module:
        parsed.append(module)
        return outline(source, module, is_package)

    monkeypatch.setattr(module_outlines, "outline", counted)
    assert module_outlines.read(name) == first and first.definitions
    assert parsed == []
    module_outlines.forget()
    own(tmp_path / "words.py", "class New: ...")
    os.utime(tmp_path / "words.py", ns=(1, 1))
    assert list(module_outlines.read(name).definitions) == ["New"]
    assert parsed == [name]


@pytest.mark.parametrize("damage", ["cut", "empty", "noise", "list", "other keys", "binary", "folder"])
def test_a_damaged_cache_is_no_error(damage: str, cache: Path, tmp_path: Path) -> None:
    name = own(tmp_path / "words.py")
    first = module_outlines.read(name)
    module_outlines.keep()
    (file,) = cache.iterdir()
    text = file.read_text()
    path = json.dumps(str(tmp_path / "words.py"))
    state = json.dumps(module_outlines._state(tmp_path / "words.py"))
    odd = f'{{{path}: {{"state": {state}, "module": {{"imports": 3, "definitions": {{"A": {{}}}}}}}}}}'
    if damage == "folder":
        file.unlink()
        file.mkdir()
    else:
        file.write_bytes({
            "cut": text[: len(text) // 2].encode(),
            "empty": b"",
            "noise": text.replace("Leaf", "Reaf").encode(),
            "list": f"{kept_facts._checksum('[1]')}\n[1]".encode(),
            "other keys": f"{kept_facts._checksum(odd)}\n{odd}".encode(),
            "binary": bytes(range(256)),
        }[damage])  # fmt: skip
    module_outlines.forget()
    assert module_outlines.read(name) == first
    module_outlines.keep()
    if damage != "folder":
        module_outlines.forget()
        assert module_outlines.read(name) == first


def test_without_a_usable_folder_everything_works(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cache").write_text("a file where the folder should be")
    assert module_outlines.read(own(tmp_path / "words.py")).definitions
    module_outlines.keep()
    monkeypatch.setenv(kept_facts.SWITCH, "off")
    monkeypatch.setenv("DLTOOL_CACHE", str(tmp_path / "other"))
    module_outlines.forget()
    assert module_outlines.read("stranger.words").definitions
    module_outlines.keep()
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize("text", ["class", "def f(:", "\0", "x = " + "(" * 500 + ")" * 500])
def test_what_is_no_python_has_an_empty_outline(text: str, cache: Path, tmp_path: Path) -> None:
    assert module_outlines.read(own(tmp_path / "words.py", text)) == module_outlines.EMPTY


def test_nothing_is_found_for_modules_that_are_not_there() -> None:
    for name in ("no_such_package", "keras.no_such", "dltool.", "..", "a.b"):
        assert module_outlines.read(name) == module_outlines.EMPTY


MISTAKEN = """\
data: {dataset: Digits}
modell: 3
model:
  - Flatten
  - Dense: {units: 10, activaton: relu}
  - Activation: rellu
compile:
  optimizer: {Adaam: {learning_rate: 0.1}}
  loss: {SparseCategoricalCrossentropy: {from_logits: true}}
"""
FOUR = [
    "2:1: modell: unknown key. Did you mean 'model'?",
    "5:24: model[1].Dense: no argument 'activaton'. Did you mean 'activation'?",
    "6:17: model[2].Activation.activation: no activation named 'rellu'. Did you mean 'relu'?",
    "8:15: compile.optimizer: no optimizer named 'Adaam'. Did you mean 'Adam'?",
]
SECONDS = 0.6  # of a process on an idle processor: Python and dltool begin in 0.2


@pytest.mark.parametrize("command", ["train", "summary", "init-stats", "lr-schedule", "visualize-augmentation"])
def test_four_mistakes_of_four_kinds_are_four_lines_at_once_without_tensorflow(command: str, tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text(MISTAKEN)
    code = f"""
import sys
from dltool.cli import app
try:
    app.main(["{command}", "r.yaml"])
finally:
    print(sorted({{"tensorflow", "keras"}} & sys.modules.keys()))
"""
    environment = {**os.environ, "DLTOOL_CACHE": str(tmp_path / "cache"), kept_facts.SWITCH: "on"}
    taken = []
    for _ in range(3):
        begin = os.times().children_user + os.times().children_system
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, env=environment
        )
        taken.append(os.times().children_user + os.times().children_system - begin)
        assert (done.returncode, done.stdout) == (2, "[]\n")
        assert done.stderr.splitlines() == [f"dltool: r.yaml:{line}" for line in FOUR]
    assert min(taken[1:]) < SECONDS  # seconds of the processor, which other processes do not add to
    assert [*(tmp_path / "cache/signatures").iterdir()]
