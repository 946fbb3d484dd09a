"""Runs trained with own Python: the file is kept with its hash, asked for again, and never runs by itself."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import keras
import numpy as np
import pytest

from dltool.data.formats import saved_models
from dltool.recipe import kept_plugins, plugins
from tests import own_words
from tests.command_line import run, trained


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with own words, a recipe of them and a run of the recipe."""
    folder = tmp_path_factory.mktemp("own")
    (folder / "r.yaml").write_text(own_words.RECIPE)
    with own_words.forgotten():
        trained(folder / "r.yaml", "--plugin", own_words.write(folder), "--out", folder / "run")
    return folder


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    with own_words.forgotten():
        yield


def test_the_file_is_kept_with_its_hash(home: Path) -> None:
    assert (home / "run/plugins/own_words.py").read_bytes() == (home / "own_words.py").read_bytes()
    (entry,) = json.loads((home / "run/plugins/plugins.json").read_text())["plugins"]
    assert entry["file"] == "own_words.py" and len(entry["sha256"]) == 64
    assert entry["words"] == ["Bump", "Descent", "HalfCircles", "HalfMoons", "Sawtooth", "TinyNet", "WorstClass"]
    assert not [*(home / "run").rglob("*.pyc")]


def test_with_the_file_every_command_opens_the_run(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kept = home / "run/plugins/own_words.py"
    figures = json.loads((home / "run/metrics.json").read_text())["validation"]
    done = run(capsys, "eval", home / "run", "--plugin", kept, "--split", "validation", "--format", "json")
    (row,) = json.loads(done.out)["scores"]
    assert (done.status, row["loss"]) == (0, pytest.approx(figures["loss"], rel=1e-6))
    assert row["right_per_mille"] == round(1000 * figures["worst_class"])  # a figure of the own task
    assert run(capsys, "--plugin", kept, "summary", home / "run").status == 0
    assert run(capsys, "lr-schedule", home / "run", f"--plugin={kept}", "--at", "1").status == 0
    np.savez(home / "x.npz", x=np.zeros((3, 2), "float32"))
    answers = run(capsys, "predict", home / "run", home / "x.npz", "--plugin", kept, "--format", "csv")
    assert answers.status == 0 and len(answers.out.splitlines()) == 4, answers.err
    more = run(capsys, "train", home / "run", "--resume", "fit.epochs=3", "--accept-changes", "-q", "--plugin", kept)
    assert more.status == 0, more.err


@pytest.mark.parametrize(
    "command",
    ["eval RUN", "predict RUN x.npz", "summary RUN", "lr-schedule RUN", "train RUN --resume", "init-stats RUN"],
)
def test_without_the_file_one_line_names_it(command: str, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(home / "run")
    done = run(capsys, *command.replace("RUN", path).split())
    sha = json.loads((home / "run/plugins/plugins.json").read_text())["plugins"][0]["sha256"]
    assert (done.status, done.out) == (2, "")
    assert done.err == (
        f"dltool: {path}: was trained with own Python, own_words.py (SHA-256 {sha[:12]}...), "
        f"which runs only if you name it. Add --plugin {path}/plugins/own_words.py\n"
    )


def test_another_file_of_the_name_is_refused(home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = own_words.write(tmp_path)
    other.write_text(other.read_text() + "# more\n")
    done = run(capsys, "eval", home / "run", "--plugin", other)
    assert done.status == 2 and len(done.err.splitlines()) == 1
    assert f"--plugin {other}: is not the file that {home / 'run'} was trained with (SHA-256 " in done.err
    assert f"Give --plugin {home / 'run'}/plugins/own_words.py, or train again with yours." in done.err


def test_an_edited_or_damaged_run_says_so(home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(home / "run", tmp_path / "run")
    kept = tmp_path / "run/plugins/own_words.py"
    kept.write_text(kept.read_text() + "# more\n")
    assert "it was edited since. Put it back, or train again." in run(
        capsys, "eval", tmp_path / "run", "--plugin", kept
    ).err  # fmt: skip
    for text in ("", "[]", '{"plugins": [{"file": 3}]}', '{"plugins": [3]}'):
        (tmp_path / "run/plugins/plugins.json").write_text(text)
        done = run(capsys, "eval", tmp_path / "run", "--plugin", home / "own_words.py")
        assert done.status == 5 and "plugins.json: is damaged" in done.err and len(done.err.splitlines()) == 1


def test_nothing_in_a_run_directory_runs_by_itself(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(home / "run", tmp_path / "run")
    mark = tmp_path / "ran"
    (tmp_path / "run/plugins/own_words.py").write_text(f"open({str(mark)!r}, 'w')\n" + own_words.SOURCE)
    for command in ("eval", "summary", "lr-schedule", "train"):
        assert run(capsys, command, tmp_path / "run").status == 2
    assert not mark.exists()


def test_a_new_training_replaces_what_the_old_one_kept(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(home / "run", tmp_path / "run")
    plain = "data: {dataset: Line, validation_split: 0.2}\nmodel: [Dense: 1]\ncompile: {optimizer: sgd, loss: mse}\n"
    (tmp_path / "p.yaml").write_text(plain)
    done = run(capsys, "train", tmp_path / "p.yaml", "--out", tmp_path / "run", "--overwrite", "-q")
    assert done.status == 0, done.err
    assert not (tmp_path / "run/plugins/plugins.json").exists()
    kept_plugins.check(tmp_path / "run")
    assert run(capsys, "eval", tmp_path / "run").status == 0


def test_a_layer_that_cannot_be_saved_is_refused_before_training(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = own_words.write(tmp_path)
    path.write_text(path.read_text().replace('return {**super().get_config(), "width": self.width}', "return {'a': 1}"))
    (tmp_path / "r.yaml").write_text(own_words.RECIPE)
    done = run(capsys, "train", tmp_path / "r.yaml", "--plugin", path, "--out", tmp_path / "run")
    assert done.status == 2 and "r.yaml:3:3: model: can't be saved and opened again" in done.err
    assert not (tmp_path / "run").exists()


def test_a_command_of_a_name_that_dltool_has_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "train.py").write_text('def train() -> None:\n    """Train."""\n')
    for arguments in (("--plugin", tmp_path / "train.py", "words"), ("words", "--plugin", tmp_path / "train.py")):
        done = run(capsys, *arguments)
        assert (done.status, done.err) == (
            2,
            f"dltool: --plugin {tmp_path}/train.py: dltool has the command train too. Rename file and function.\n",
        )


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder on Python's path with own words as an installed package."""
    own_words.install(tmp_path)
    with monkeypatch.context() as patch:
        patch.syspath_prepend(tmp_path)
        plugins.installed.cache_clear()
        plugins.forget()
        yield tmp_path
    plugins.installed.cache_clear()
    unload_garden()


def unload_garden() -> None:
    """Forget that the package was ever loaded, as in another process."""
    for name in [name for name in sys.modules if name.startswith("garden")]:
        del sys.modules[name]
    registered = keras.saving.get_custom_objects()
    for name in [name for name, kind in registered.items() if kind.__module__.startswith("garden")]:
        del registered[name]
    saved_models._trusted.discard("garden")
    plugins.forget()


def test_a_run_of_an_installed_package_is_opened_by_another_process(
    installed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = own_words.RECIPE.replace("fit: {epochs: 2}", "fit: {epochs: 1}")
    layers = text[text.index("model:") : text.index("compile:")]
    (installed / "r.yaml").write_text(text)
    (installed / "net.yaml").write_text(
        text.replace(layers, "model: {TinyNet: {input_shape: '${data.input_shape}'}}\n")
    )
    for name in ("r", "net"):
        trained(installed / f"{name}.yaml", "--out", installed / name)
        unload_garden()
        done = run(capsys, "eval", installed / name, "--split", "validation", "--format", "json")
        assert done.status == 0, done.err
        (row,) = json.loads(done.out)["scores"]
        figures = json.loads((installed / name / "metrics.json").read_text())["validation"]
        assert row["loss"] == pytest.approx(figures["loss"], rel=1e-6)
        assert "garden.own_words" in sys.modules
        unload_garden()


def test_a_run_without_own_python_loads_no_package(
    installed: Path, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (installed / "garden/own_words.py").write_text(own_words.SOURCE + "\nraise OSError('it ran')\n")
    plain = "data: {dataset: Line, validation_split: 0.2}\nmodel: [Dense: 1]\ncompile: {optimizer: sgd, loss: mse}\n"
    (installed / "p.yaml").write_text(f"{plain}fit: {{epochs: 1}}\n")
    trained(installed / "p.yaml", "--out", installed / "plain")
    assert run(capsys, "eval", installed / "plain").status == 0
    done = run(capsys, "eval", home / "run", "--plugin", home / "run/plugins/own_words.py")
    assert done.status == 0, done.err
