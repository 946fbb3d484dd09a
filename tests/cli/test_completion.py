"""The TAB key: commands, options, recipes, runs and keys of recipes, as bash and zsh ask for them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from dltool.cli import app, completion
from tests.cli.test_cli_light import HEAVY
from tests.command_line import run, write_quick


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a recipe and two runs."""
    write_quick(tmp_path)
    for name in ("runs/first", "runs/deep/second", "runs/no-run"):
        (tmp_path / name).mkdir(parents=True)
    for name in ("runs/first", "runs/deep/second"):
        (tmp_path / name / "recipe.yaml").write_text((tmp_path / "quick.yaml").read_text())
    (tmp_path / "notes.txt").write_text("")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def press(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """Return the answers to TAB at the end of words, the last of which is what has been typed."""

    def pressed(*words: str) -> list[str]:
        monkeypatch.setenv(completion.VARIABLE, "complete_bash")
        monkeypatch.setenv("COMP_WORDS", " ".join(["dltool", *words]))
        monkeypatch.setenv("COMP_CWORD", str(len(words)))
        capsys.readouterr()
        with pytest.raises(SystemExit):
            app.main([])
        answered = capsys.readouterr()
        assert answered.err == ""
        return answered.out.split()

    return pressed


def test_commands_and_options_are_completed(press, folder: Path) -> None:
    assert press("lr") == ["lr-find", "lr-schedule"]
    assert press("recipes", "c") == ["copy"]
    assert press("train", "quick.yaml", "--acc") == ["--accept-changes"]
    assert press("lr-find", "quick.yaml", "--rule", "s") == ["steepest", "slide"]
    assert press("visualize-filters", "runs/first", "--mode", "a") == ["activations", "attribution"]


def test_recipes_and_runs_are_completed(press, folder: Path) -> None:
    assert {"cnn/lenet5", "cnn/lenet5-1998"} <= set(press("train", "cnn/len"))
    assert press("train", "qu") == ["quick.yaml"]
    assert press("train", "ru") == ["runs/first", "runs/deep/second"]
    assert press("eval", "runs/first", "runs/d") == ["runs/deep/second"]
    assert press("eval", f"{folder}/runs/f") == [f"{folder}/runs/first"]
    assert press("eval", "no") == [] == press("eval", "absent/"), "the shell offers files itself"
    assert press("recipes", "copy", "mlp/digi") == ["mlp/digits"]


def test_keys_of_the_recipe_are_completed(press, folder: Path) -> None:
    assert press("train", "quick.yaml", "fit.batch") == ["fit.batch_size=", "fit.batch_tokens="]
    assert press("train", "quick.yaml", "model.2.Dense.") == ["model.2.Dense.units=", "model.2.Dense.activation="]
    assert press("train", "quick.yaml", "model.9=Flatten", "see") == ["seed=", "seed=1"]  # two: no space follows "="
    assert press("summary", "runs/first", "compile.o")[:1] == ["compile.optimizer="]
    assert "fit.epochs=" in press("lr-schedule", "quick.yaml", "runs/first", "fit.ep")
    assert press("train", "broken.yaml", "dtype") == ["dtype_policy=", "dtype_policy=..."]


def test_values_are_completed_after_the_sign(press, folder: Path) -> None:
    assert (
        press("train", "quick.yaml", "fit.epochs", "=") == ["2"] == press("train", "quick.yaml", "fit.epochs", "=", "2")
    )  # as bash splits it
    assert press("train", "quick.yaml", "fit.epochs=") == ["fit.epochs=2"]  # as zsh gives it
    flag = "compile.loss.SparseCategoricalCrossentropy.from_logits="
    assert press("train", "quick.yaml", flag) == [f"{flag}true", f"{flag}false"]


def test_a_line_with_mistakes_is_answered_in_silence(press, folder: Path) -> None:
    assert press("train", "--nonsense", "quick.yaml", "fit.") == []
    assert press("nonsense", "x") == []


def test_keys_are_there_at_once(folder: Path) -> None:
    code = f"""
import sys
from dltool.cli import completion
print(len(completion._keys("quick.yaml")), sorted(sys.modules.keys() & set({HEAVY!r})))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    count, _, heavy = done.stdout.strip().partition(" ")
    assert int(count) > 30 and heavy == "[]"


def test_the_shells_script_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert "--install-completion" in run(capsys, "--help").out
    done = run(capsys, "--show-completion", "bash")
    assert done.status == 0 and completion.VARIABLE in done.out
