"""The commit of a folder is read from files: nothing of a stranger's repository runs."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
from pathlib import Path

import pytest

import dltool
from dltool.runs import environment
from dltool.runs.git_commit import commit

FIRST, SECOND = "1" * 40, "ab" * 32
needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="needs git")


def repository(folder: Path, head: str, **files: str) -> Path:
    for name, text in {"HEAD": head, **files}.items():
        path = folder / ".git" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


@pytest.fixture
def no_program(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a test fail if a program is started."""

    def start(*arguments: object, **keywords: object) -> None:
        raise AssertionError(f"a program was started: {arguments}")

    monkeypatch.setattr(subprocess, "Popen", start)
    for name in ("system", "popen", "posix_spawn", "posix_spawnp", "fork", "execv", "execve", "execvp"):
        monkeypatch.setattr(os, name, start)


def git(folder: Path, *arguments: str) -> str:
    own = ["-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "init.defaultBranch=main"]
    done = subprocess.run(["git", *own, *arguments], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


@needs_git
def test_the_commit_is_gits(tmp_path: Path) -> None:
    git(tmp_path, "init", ".")
    assert commit(tmp_path) is None  # there is none yet
    git(tmp_path, "commit", "--allow-empty", "-m", "one")
    (tmp_path / "a/b").mkdir(parents=True)
    first = git(tmp_path, "rev-parse", "HEAD")
    assert commit(tmp_path) == commit(tmp_path / "a/b") == first
    git(tmp_path, "worktree", "add", "../beside", "-b", "other")
    git(tmp_path.parent / "beside", "commit", "--allow-empty", "-m", "two")
    assert commit(tmp_path.parent / "beside") == git(tmp_path.parent / "beside", "rev-parse", "HEAD") != first
    git(tmp_path, "pack-refs", "--all")
    assert commit(tmp_path) == first
    assert commit(tmp_path.parent / "beside") == git(tmp_path.parent / "beside", "rev-parse", "HEAD")
    git(tmp_path, "checkout", "--detach")
    assert commit(tmp_path) == first


@needs_git
def test_nothing_of_a_foreign_repository_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    git(tmp_path, "init", ".")
    git(tmp_path, "commit", "--allow-empty", "-m", "one")
    head = git(tmp_path, "rev-parse", "HEAD")
    git(tmp_path, "config", "core.fsmonitor", f"touch {tmp_path}/ran; false")
    monkeypatch.chdir(tmp_path)
    request.getfixturevalue("no_program")
    assert environment.describe("cpu", 1)["git_commit"] == head
    assert not (tmp_path / "ran").exists()


def test_packed_and_symbolic_references_are_followed(tmp_path: Path) -> None:
    packed = {"packed-refs": f"# pack-refs with: peeled\n{SECOND} refs/heads/x/y\n^{FIRST}\n"}
    assert commit(repository(tmp_path / "a", "ref: refs/heads/x/y\n", **packed)) == SECOND
    chain = {"refs/heads/x": "ref: refs/heads/y", "refs/heads/y": FIRST}
    assert commit(repository(tmp_path / "b", "ref: refs/heads/x\n", **chain)) == FIRST


@pytest.mark.parametrize(
    ("head", "files"),
    [
        ("", {}),
        ("ref: refs/heads/none", {}),
        ("ref: refs/heads/x", {"refs/heads/x": "ref: refs/heads/x"}),
        ("ref: refs/../../secret", {}),
        ("ref: /etc/hostname", {}),
        ("ref: refs/heads/\x1b[2J", {}),
        ("z" * 40, {}),
        ("1" * 41, {}),
        ("\x00\xff", {}),
        (FIRST + "\nx", {}),
    ],
)
def test_a_damaged_repository_has_no_commit(head: str, files: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(FIRST)
    assert commit(repository(tmp_path / "folder", head, **files)) is None


def test_files_that_are_none_are_not_waited_for(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    os.mkfifo(tmp_path / ".git/HEAD")
    assert commit(tmp_path) is None
    (tmp_path / "link").mkdir()
    (tmp_path / "link/.git").write_text("gitdir: /dev/zero")
    assert commit(tmp_path / "link") is None
    (tmp_path / "loop").mkdir()
    (tmp_path / "loop/.git").symlink_to(".git")
    assert commit(tmp_path / "loop") is None
    (tmp_path / "zero").mkdir()
    (tmp_path / "zero/.git").symlink_to("/dev/zero")
    assert commit(tmp_path / "zero") is None


def test_no_part_of_dltool_starts_a_program() -> None:
    files = [*Path(dltool.__file__).parent.rglob("*.py")]
    assert len(files) > 200
    for file in files:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            named = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            named += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not {name.split(".")[0] for name in named} & {"subprocess", "pty", "pickle", "shelve"} - (
                {"pickle"} if file.name == "restricted_pickle.py" else set()
            ), file
            called = node.func.attr if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) else ""
            assert called not in ("system", "popen", "execv", "execvp", "posix_spawn", "fork"), (file, called)
