"""README and docs are true: their commands run unchanged, their recipes train, their links lead somewhere."""

from __future__ import annotations

import fnmatch
import functools
import importlib.util
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from dltool.recipe import build, reading
from tests import own_words
from tests.command_line import run

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
README = ROOT / "README.md"
PAGES = {path.relative_to(ROOT).as_posix(): path for path in (*sorted(ROOT.glob("*.md")), *sorted(DOCS.rglob("*.md")))}
MINUTES = 8  # for the commands of one page


def blocks(language: str, page: Path, mark: str = "") -> list[str]:
    """Return the fenced blocks of a language in a page whose first line ends with the mark."""
    text = page.read_text(encoding="utf-8")
    fenced = re.findall(r"^```(\w*) ?(.*?)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [body for word, rest, body in fenced if word == language and rest == mark]


def commands(page: Path, mark: str = "") -> list[str]:
    """Return the shell lines of a page that run dltool, without loops (too long) and make."""
    lines = [line for block in blocks("sh", page, mark) if not block.startswith("for ") for line in block.splitlines()]
    return [line for line in lines if line.startswith(("dltool", "RUN=", "echo"))]


def write_files(page: Path, folder: Path) -> None:
    """Write the blocks of a page that have a file's name as their title."""
    fenced = re.findall(r'^```\w+ title="([\w-]+\.\w+)"\n(.*?)^```$', page.read_text(), re.MULTILINE | re.DOTALL)
    for name, text in fenced:
        (folder / name).write_text(text)


WITH_COMMANDS = [name for name, path in PAGES.items() if commands(path)]
NEEDS_DATA = 'title="needs DLTOOL_DATA"'


def run_shell(lines: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    """Run shell lines in a folder, where dltool is that of this checkout."""
    programs = folder / "bin"
    programs.mkdir(exist_ok=True)
    (programs / "dltool").write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m dltool "$@"\n')
    (programs / "dltool").chmod(0o755)
    environment = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    script = "set -e -o pipefail\n" + "\n".join(lines)
    return subprocess.run(
        ["bash", "-c", script],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60 * MINUTES,
        check=False,
    )


@pytest.fixture(scope="session")
def after_the_readme(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the README's commands were run: the pages go on from there."""
    folder = tmp_path_factory.mktemp("readme")
    done = run_shell(commands(README), folder)
    assert done.returncode == 0, done.stderr
    assert (folder / "runs" / "digits" / "model.keras").is_file()
    return folder


@pytest.mark.recipes
@pytest.mark.parametrize("name", [name for name in WITH_COMMANDS if name != "README.md"])
def test_shell_commands_run_unchanged(name: str, after_the_readme: Path, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    shutil.copytree(after_the_readme, folder)
    lines = commands(PAGES[name])
    if "dltool train cnn/digits --out runs/digits" in lines:
        shutil.rmtree(folder / "runs" / "digits")
    write_files(PAGES[name], folder)
    done = run_shell(lines, folder)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
@pytest.mark.data
@pytest.mark.parametrize("name", [name for name, path in PAGES.items() if commands(path, NEEDS_DATA)])
def test_shell_commands_on_real_data_run_unchanged(name: str, tmp_path: Path) -> None:
    done = run_shell(commands(PAGES[name], NEEDS_DATA), tmp_path)
    assert done.returncode == 0, done.stderr


def test_every_block_of_shell_is_run_by_a_test() -> None:
    """A fence with an unknown mark, or a line that no test runs, would stay unchecked."""
    assert {"README.md", "docs/commands/train.md", "docs/commands/translate.md"} <= set(WITH_COMMANDS)
    for name, page in PAGES.items():
        marks = re.findall(r"^```sh ?(.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
        assert set(marks) <= {"", NEEDS_DATA}, name
        for block in blocks("sh", page):
            if block.startswith("for "):
                continue
            others = [line for line in block.splitlines() if not line.startswith(("dltool", "RUN=", "echo"))]
            assert all(line.startswith(("make ", ".venv/bin/python -m pytest ")) for line in others), name


def test_loops_train_recipes_that_exist(tmp_path: Path) -> None:
    """Too long to run: each command is written down in place of it, and its recipe loaded."""
    loops = [block for page in PAGES.values() for block in blocks("sh", page) if block.startswith("for ")]
    assert loops
    (tmp_path / "dltool").write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/commands\n')
    (tmp_path / "dltool").chmod(0o755)
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    subprocess.run(["bash", "-ec", "\n".join(loops)], env=environment, timeout=60, check=True)
    written = [line.split() for line in (tmp_path / "commands").read_text().splitlines()]
    trained = [words[1:] for words in written if words[0] == "train"]
    outs = [words[words.index("--out") + 1] for words in trained]
    evaluated = [words[1] for words in written if words[0] == "eval"]
    patterns = [words[1] for words in written if words[0] == "compare"]
    compared = [out for pattern in patterns for out in fnmatch.filter(outs, pattern)]
    assert len(trained) > 1
    assert sorted([*evaluated, *compared]) == sorted(outs)
    for name, *rest in trained:
        build.dataset(reading.load(name, [word for word in rest if "=" in word]).section("data", "dataset"))


def test_make_targets_exist() -> None:
    makefile = (ROOT / "Makefile").read_text()
    shell = [line for page in PAGES.values() for block in blocks("sh", page) for line in block.splitlines()]
    named = {word for line in shell for word in re.findall(r"^make (\w+)", line)}
    named |= {word for page in PAGES.values() for word in re.findall(r"`make (\w+)", page.read_text(encoding="utf-8"))}
    assert {"run", "test", "docs", "bench"} <= named
    assert [name for name in named if not re.search(rf"^{name}:", makefile, re.MULTILINE)] == []


def make_anchor(heading: str) -> str:
    """Return the anchor of a heading as GitHub and Python-Markdown make it."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


@pytest.mark.parametrize("name", PAGES)
def test_links_lead_somewhere(name: str) -> None:
    page = PAGES[name]
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\(([^)]+)\)", text):
        if target.startswith("https://"):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path) if path else page
        assert file.is_file(), f"{name}: {target}"
        if DOCS in page.parents:
            assert DOCS in file.resolve().parents, f"{name}: {target} is outside of the book"
        if anchor:
            headings = re.findall(r"^#+ (.*)$", file.read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in {make_anchor(heading) for heading in headings}, f"{name}: {target}"


def test_every_page_is_in_the_navigation() -> None:
    def walk(entry: object) -> list[str]:
        if isinstance(entry, str):
            return [entry]
        entries = entry.values() if isinstance(entry, dict) else entry
        return [page for inner in entries for page in walk(inner)]  # type: ignore[attr-defined]

    pages = walk(yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))["nav"])
    assert sorted(pages) == sorted(path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md"))


def hooks() -> Any:
    """Return the module that the book is built with."""
    spec = importlib.util.spec_from_file_location("hooks", DOCS / "hooks.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_table_of_the_lecture_holds_every_recipe_of_a_slide_with_its_figure() -> None:
    rows = [row.strip("| ").split(" | ") for row in hooks().write_systems().splitlines()[2:]]
    assert all(len(row) == 4 for row in rows)
    texts = {name: (reading.bundled() / f"{name}.yaml").read_text(encoding="utf-8") for name in reading.bundled_names()}
    named = {row[1].strip("`"): row for row in rows}
    assert named.keys() == {name for name, text in texts.items() if re.search(r"^# Slide: +\d", text, re.MULTILINE)}
    assert named["cnn/lenet5"][0] == "97" and named["cnn/lenet5"][3].startswith("test accuracy 0.99")
    slides = [int(re.split(r"\D", row[0])[0]) for row in rows]
    assert slides == sorted(slides)


def test_the_pictures_of_the_lecture_are_drawn_by_commands_of_the_pages_that_they_name() -> None:
    rows = re.findall(
        r"^\| ([\d, -]+) \| \[.*\]\((pictures/[\w-]+\.png)\) \| `(.+)` \| \[.*\]\(([\w/-]+\.md).*\) \|$",
        (DOCS / "pictures.md").read_text(encoding="utf-8"),
        re.MULTILINE,
    )
    slides = set()
    for numbers, picture, command, page in rows:
        ends = [[int(end) for end in part.split("-")] for part in numbers.split(", ")]
        slides |= {slide for first, *last in ends for slide in range(first, (last or [first])[0] + 1)}
        text = (DOCS / page).read_text(encoding="utf-8")
        assert command in text, (page, command)
        assert picture in text, (page, picture)
    assert {13, 18, 36, 46, 52, 54, 61, 62, 63, 64, 68, 69, 70, 71, 72, 73, 74, 76, 85, 92} <= slides


@functools.cache
def help_of(command: str) -> str:
    """Return what a command's --help prints, by the function that builds the book."""
    return str(hooks().write_help(command))


def test_every_command_has_a_page_that_shows_its_help() -> None:
    listed = re.findall(r"^│ ([a-z][a-z-]+)  ", help_of("").partition("Commands")[2], re.MULTILINE)
    assert {"train", "eval", "recipes"} <= set(listed)
    pages = {path.stem for path in (DOCS / "commands").glob("*.md")}
    assert sorted(listed) == sorted(pages)
    for name in listed:
        assert f"<!-- help: {name} -->" in (DOCS / "commands" / f"{name}.md").read_text(encoding="utf-8")
    readme = README.read_text(encoding="utf-8")
    assert re.findall(r"\]\(docs/commands/([\w-]+)\.md\)", readme) and set(listed) == set(
        re.findall(r"\]\(docs/commands/([\w-]+)\.md\)", readme)
    )


def test_the_picture_of_imports_shows_every_room(tmp_path: Path) -> None:
    """On a copy of the script in a tree of three rooms: an arrow that a chain implies is left out."""
    for path, text in {
        "tests/test_architecture.py": 'RANKS = "cli > runs > errors"\n',
        "dltool/cli/app.py": "from dltool.runs import x\nimport dltool.errors.y\n",
        "dltool/runs/x.py": "def f():\n    from dltool.errors import y\n",
        "dltool/errors/y.py": "",
    }.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    (tmp_path / "docs").mkdir()
    shutil.copy(DOCS / "draw_imports.py", tmp_path / "docs")
    subprocess.run([sys.executable, "docs/draw_imports.py"], cwd=tmp_path, check=True, capture_output=True)
    picture = (tmp_path / "docs" / "imports.svg").read_text()
    assert re.findall(r'font-size="15"[^>]*>(\w+)<', picture) == ["cli", "runs", "errors"]
    assert picture.count('<path d="M') == 3  # two arrows, and the tip that both have


RECIPES = [block for block in blocks("yaml", DOCS / "recipes.md") if "compile:" in block]


@pytest.mark.parametrize("text", RECIPES, ids=["digits", "wiring"])
def test_recipes_train_for_an_epoch(
    text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    kind = rng.integers(0, 3, 60)
    np.savez("scans.npz", image=rng.random((60, 6, 6, 1)), table=rng.random((60, 2)), kind=kind, amount=kind + 0.5)
    Path("readme.yaml").write_text(text)
    done = run(capsys, "train", "readme.yaml", "fit.epochs=1", "--out", "run", "--quiet")
    assert done.status == 0, done.err


def test_the_example_of_own_python_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_files(DOCS / "own-python.md", tmp_path)
    lines = commands(DOCS / "own-python.md")
    assert len(lines) == 4
    with own_words.forgotten():
        for line in lines:
            done = run(capsys, *shlex.split(line)[1:])
            assert done.status == 0, done.err
    assert "margin" in done.out and "half" in (tmp_path / "runs/moons/data.json").read_text()


def test_wired_layers_build() -> None:
    (layers,) = [block for block in blocks("yaml", DOCS / "recipes.md") if "encoder1" in block]
    text = f"data: {{dataset: Digits}}\n{layers}compile: {{optimizer: adam, loss: mse}}\n"
    root = reading.from_text(text, "docs/recipes.md")
    assert reading.check(root) == []
    model = build.model(reading.Recipe(root, "docs/recipes.md", ""), {"input_shape": (8, 8, 1)}, None)
    assert model.output_shape == (None, 8, 8, 16)


def test_every_listed_file_of_a_run_is_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (listing,) = [block for block in blocks("", DOCS / "runs.md") if "model.keras" in block]
    names = re.findall(r"^  ([\w.]+)/? ", listing, re.MULTILINE)
    assert len(names) == 9
    run(capsys, "train", "mlp/digits", "fit.epochs=1", "--out", tmp_path / "run", "--quiet")
    assert {path.name for path in (tmp_path / "run").iterdir()} == set(names)


def test_error_example_is_what_is_printed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dltool.errors import RecipeError

    (shown,) = [block for block in blocks("", DOCS / "recipes.md") if "actvation" in block]
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "recipes" / "cnn"
    folder.mkdir(parents=True)
    text = (reading.bundled() / "cnn" / "lenet5.yaml").read_text()
    (folder / "lenet5.yaml").write_text(text.replace("activation", "actvation", 1))
    with pytest.raises(RecipeError) as raised:
        build.check(reading.load("recipes/cnn/lenet5.yaml"))
    message, expected = str(raised.value), shown.strip()
    assert re.sub(r":\d+:\d+:", ":", message) == re.sub(r":\d+:\d+:", ":", expected)
