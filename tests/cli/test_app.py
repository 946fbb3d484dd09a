"""Commands are files: found in the text of the folder, imported when used, and a new one needs no line elsewhere."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from dltool import cli
from dltool.cli import old_flags
from dltool.cli.app import find_commands
from tests.command_line import run, write_quick

HELLO = '''
from typing import Annotated
import typer
from dltool.cli.options import take_fields
from dataclasses import dataclass
from dltool.errors import messages


@dataclass(frozen=True)
class Greeting:
    word: Annotated[str, typer.Option("--word", help="The greeting.")] = "Hello"
    times: Annotated[int, typer.Option("--times", min=1)] = 1


@take_fields()
def say_hello(name: Annotated[str, typer.Argument()], greeting: Greeting = Greeting()) -> None:
    """Greet somebody.

    More than once if asked for.
    """
    messages.write(f"{greeting.word}, {name}!\\n" * greeting.times)
'''


@pytest.fixture
def hello(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A command in a folder of its own beside dltool's."""
    (tmp_path / "say_hello.py").write_text(HELLO)
    (tmp_path / "helper.py").write_text("def other() -> None:\n    pass\n")
    monkeypatch.setattr(cli, "__path__", [*cli.__path__, str(tmp_path)])
    monkeypatch.delitem(sys.modules, "dltool.cli.say_hello", raising=False)


def test_a_new_file_is_a_new_command(hello: None, capsys: pytest.CaptureFixture[str]) -> None:
    assert find_commands()["say-hello"] == "Greet somebody."
    assert "helper" not in find_commands() and "other" not in find_commands()
    assert "say-hello" in run(capsys, "--help").out
    assert "The greeting." in run(capsys, "say-hello", "--help").out
    assert run(capsys, "say-hello", "Ada", "--word", "Hail", "--times", 2).out == "Hail, Ada!\nHail, Ada!\n"
    assert "Did you mean 'say-hello'?" in run(capsys, "say-helo").err
    wrong = run(capsys, "say-hello", "--times", 0, "--wrd", "x")
    assert wrong.status == 2 and "--times" in wrong.err and "--wrd" in wrong.err


def test_every_command_is_listed_with_the_first_line_of_its_help() -> None:
    commands = find_commands()
    assert {"train", "eval", "lr-find", "score", "translate", "recipes"} <= commands.keys()
    assert list(commands) == sorted(commands)
    assert all(line.endswith(".") for line in commands.values()), commands


@pytest.mark.parametrize("arguments", [["recipes"], ["train", "--help"]])
def test_only_the_module_of_the_command_used_is_imported(arguments: list[str]) -> None:
    code = "import json, sys\nfrom dltool.cli import app\ntry:\n    app.main(sys.argv[1:])\nfinally:\n    print()\n    "
    code += "print(json.dumps([name for name in sys.modules if name.startswith('dltool.cli.')]))"
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True)
    imported = {name.rpartition(".")[2].replace("_", "-") for name in json.loads(done.stdout.splitlines()[-1])}
    assert imported & find_commands().keys() == {arguments[0]}


@pytest.mark.parametrize(
    ("arguments", "replaced"),
    [
        ("lr-schedule r.yaml --find --to 1", "lr-find r.yaml --to 1"),
        ("init-stats --check-gradients r.yaml seed=1", "check-gradients r.yaml seed=1"),
        ("init-stats r.yaml --lsuv out --overwrite", "lsuv r.yaml --out out --overwrite"),
        ("init-stats r.yaml --lsuv=out", "lsuv r.yaml --out=out"),
        ("generate --score text.txt runs/a", "score runs/a text.txt"),
        ("generate runs/a --score=text.txt --format csv", "score runs/a --format csv text.txt"),
    ],
)
def test_an_old_flag_is_the_new_command_with_a_note(
    arguments: str, replaced: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert old_flags.replace(arguments.split()) == replaced.split()
    note = capsys.readouterr().err
    assert note.startswith("dltool: note: ") and f"'{replaced.split()[0]}'" in note and len(note.splitlines()) == 1


@pytest.mark.parametrize(
    "arguments", ["lr-schedule r.yaml", "train --find", "init-stats -- --lsuv", "lr-find a --to 1"]
)
def test_other_arguments_stay(arguments: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert old_flags.replace(arguments.split()) == arguments.split()
    assert capsys.readouterr().err == ""


def test_an_old_flag_works(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    done = run(capsys, "init-stats", write_quick(tmp_path), "--lsuv", tmp_path / "start", "--device", "cpu")
    assert done.status == 0, done.err
    assert "'lsuv'" in done.err.splitlines()[0]
    assert (tmp_path / "start" / "model.keras").exists()
