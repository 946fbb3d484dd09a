"""What the README says is true: its commands run as they stand, its recipes load and train."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from dltool.recipe import build, reading
from tests.command_line import run

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"


def blocks(language: str = "") -> list[str]:
    """The README's fenced blocks of a language."""
    fenced = re.findall(r"^```(\w*)\n(.*?)^```$", README.read_text(), re.MULTILINE | re.DOTALL)
    return [text for word, text in fenced if word == language]


@pytest.mark.recipes
def test_shell_commands_run_as_they_stand(tmp_path: Path) -> None:
    lines = [line for block in blocks("sh") for line in block.splitlines()]
    commands = [line for line in lines if line.startswith(("dltool", "RUN="))]
    assert len(commands) >= 6
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "dltool").write_text(f'#!/bin/sh\nexec {sys.executable} -m dltool "$@"\n')
    (programs / "dltool").chmod(0o755)
    environment = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    script = "set -e\n" + "\n".join(commands)
    done = subprocess.run(
        ["bash", "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert (tmp_path / "runs" / "digits" / "model.keras").is_file()


def test_loops_train_recipes_that_there_are(tmp_path: Path) -> None:
    """Too long to run: each command is written down in place of it, and its recipe loaded."""
    loops = [block for block in blocks("sh") if block.startswith("for ")]
    assert loops
    (tmp_path / "dltool").write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/commands\n')
    (tmp_path / "dltool").chmod(0o755)
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    subprocess.run(["bash", "-ec", "\n".join(loops)], env=environment, timeout=60, check=True)
    commands = [line.split() for line in (tmp_path / "commands").read_text().splitlines()]
    trained = [words[1:] for words in commands if words[0] == "train"]
    evaluated = [words[1] for words in commands if words[0] == "eval"]
    assert len(trained) > 1
    assert evaluated == [words[words.index("--out") + 1] for words in trained]
    for name, *rest in trained:
        build.dataset(reading.load(name, [word for word in rest if "=" in word]).section("data", "dataset"))


def test_make_targets_exist() -> None:
    makefile = (ROOT / "Makefile").read_text()
    named = {word for block in blocks("sh") for word in re.findall(r"^make (\w+)", block, re.MULTILINE)}
    assert {"run", "test"} <= named
    assert all(re.search(rf"^{name}:", makefile, re.MULTILINE) for name in named)


def test_recipe_trains_for_an_epoch(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (text,) = [block for block in blocks("yaml") if "compile:" in block]
    path = tmp_path / "readme.yaml"
    path.write_text(text)
    done = run(capsys, "train", path, "fit.epochs=1", "--out", tmp_path / "run", "--quiet")
    assert done.status == 0, done.err


def test_every_run_directory_file_that_the_readme_lists_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (listing,) = [block for block in blocks() if "model.keras" in block]
    names = re.findall(r"^  ([\w.]+)/? ", listing, re.MULTILINE)
    assert len(names) == 9
    run(capsys, "train", "mlp/digits", "fit.epochs=1", "--out", tmp_path / "run", "--quiet")
    assert {path.name for path in (tmp_path / "run").iterdir()} == set(names)


def test_error_example_is_what_is_printed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dltool.errors import RecipeError
    from dltool.recipe import build

    (shown,) = [block for block in blocks() if "actvation" in block]
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "recipes" / "cnn"
    folder.mkdir(parents=True)
    text = (reading.bundled() / "cnn" / "lenet5.yaml").read_text()
    (folder / "lenet5.yaml").write_text(text.replace("activation", "actvation", 1))
    with pytest.raises(RecipeError) as raised:
        build.check(reading.load("recipes/cnn/lenet5.yaml"))
    found, expected = str(raised.value), shown.strip()
    assert re.sub(r":\d+:\d+:", ":", found) == re.sub(r":\d+:\d+:", ":", expected)
