"""What needs no Keras answers at once: help, versions, the list of recipes and recipe errors."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from dltool.cli import recipes
from dltool.cli.app import find_commands
from dltool.errors import UsageError
from dltool.recipe import reading
from tests.command_line import run, text_of

HEAVY = ("tensorflow", "keras", "numpy", "pandas", "scipy", "sklearn", "matplotlib", "pydantic", "markdown_it")
HELP_SECONDS, LIGHT_SECONDS = 0.5, 1.2  # twice what an idle machine takes and more: a loaded one must not fail
WATCHED = """
import json, sys
from dltool.cli import app
try:
    sys.argv[0] = "dltool"
    app.main()
finally:
    print(json.dumps(sorted(sys.modules.keys() & set(%r))), file=sys.stderr)
"""


def dltool(*arguments: str, cwd: Path | None = None) -> tuple[int, str, str]:
    """Status, stdout and stderr of a process of its own."""
    done = subprocess.run([sys.executable, "-m", "dltool", *arguments], capture_output=True, text=True, cwd=cwd)
    return done.returncode, done.stdout, done.stderr


def watched(*arguments: str, limit: float, cwd: Path | None = None) -> tuple[int, str, list[str], float]:
    """Status, output, the heavy modules that were imported, and seconds of processor time: of up to 3 runs the best.

    On an idle machine these are the seconds that it takes; other work on the machine is not the command's fault.

    Args:
        limit: seconds that are good enough.
    """
    command = [sys.executable, "-c", WATCHED % (HEAVY,), *arguments]
    seconds = float("inf")
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run(command, capture_output=True, text=True, cwd=cwd)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds = min(seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        if seconds < limit:
            break
    *said, modules = done.stderr.splitlines()
    return done.returncode, done.stdout + "\n".join(said), json.loads(modules), seconds


@pytest.mark.parametrize(
    "command",
    ["--help", "-h", "--version", "recipes copy --help", *(f"{name} --help" for name in find_commands())],
)
def test_help_imports_nothing_heavy(command: str) -> None:
    status, said, modules, seconds = watched(*command.split(), limit=HELP_SECONDS)
    assert (status, modules) == (0, [])
    assert "Usage" in said or "dltool 0" in said or "dltool 1" in said
    assert seconds < HELP_SECONDS


@pytest.mark.parametrize(
    ("text", "overrides", "lines"),
    [
        ("fitt: {}\n", [], ["r.yaml:1:1: fitt: unknown key. Did you mean 'fit'?", "r.yaml:1:1: data: is missing",
                            "r.yaml:1:1: model: is missing", "r.yaml:1:1: compile: is missing"]),
        ("a: [\n", [], ["r.yaml:2:1: not YAML: expected the node content, but found '<stream end>' "
                        "(while parsing a flow node)"]),
        ("extends: nowhere.yaml\n", [], ["r.yaml:1:10: extends: nowhere.yaml: no such recipe. "
                                         "'dltool recipes' lists the bundled ones."]),
        ("extends: mlp/digits\n", ["fit.epochs=0"], ["command line:1:12: fit.epochs: must be an int >= 1. Got 0."]),
        ("extends: mlp/digits\nseed: -1\n", ["fitt=1", "data.dataset.Npz=no.npz", "a b=1"],
         ["command line:1:1: fitt: unknown key. Did you mean 'fit'?",
          "command line:2:1: data.dataset.Npz: No file no.npz: check the 'path' parameter of Npz.",
          "command line:3:1: a b=1: an override reads dotted.key=value, such as fit.epochs=5",
          "r.yaml:2:7: seed: must be an int from 0 to 4294967295. Got -1."]),
        ("data: {dataset: {Npz: {path: a.npz, x: 1}}, split: 0.1}\nmodel: []\ncompile: {}\n", [],
         ["r.yaml:1:37: data.dataset.Npz: no argument 'x'. Arguments: path, inputs, targets.",
          "r.yaml:1:45: data.split: unknown key. Did you mean 'test_split'?",
          "r.yaml:2:8: model: must be a list of layers or one named architecture. Got a list.",
          "r.yaml:3:10: compile.optimizer: is missing. Name one, such as Adam.",
          "r.yaml:3:10: compile.loss: is missing. Name one, such as MeanSquaredError."]),
        ("extends: mlp/digits\nsede: 1\n", ["model.2.Dense.unitz=3", "compile.loss=msee",
                                            "fit.callbacks=[{EarlyStop: 1}]"],
         ["command line:1:1: model[2].Dense: no argument 'unitz'. Did you mean 'units'?",
          "command line:2:14: compile.loss: no loss named 'msee'. One is MeanSquaredError.",
          "command line:3:17: fit.callbacks[0]: no callback named 'EarlyStop'. Did you mean 'EarlyStopping'?",
          "r.yaml:2:1: sede: unknown key. Did you mean 'seed'?"]),
        ("a: [\n", ["fit.epochs", "b=["],
         ["command line:1:1: fit.epochs: an override reads dotted.key=value, such as fit.epochs=5",
          "command line:2:4: b=[: not YAML: expected the node content, but found '<stream end>' "
          "(while parsing a flow node)",
          "r.yaml:2:1: not YAML: expected the node content, but found '<stream end>' (while parsing a flow node)"]),
    ],
)  # fmt: skip
def test_a_recipe_error_needs_no_tensorflow(tmp_path: Path, text: str, overrides: list[str], lines: list[str]) -> None:
    (tmp_path / "r.yaml").write_text(text)
    status, said, modules, seconds = watched("train", "r.yaml", *overrides, limit=LIGHT_SECONDS, cwd=tmp_path)
    assert status == 2
    assert said.splitlines() == [f"dltool: {line}" for line in lines]
    assert not {"tensorflow", "keras"} & set(modules)
    assert seconds < LIGHT_SECONDS
    assert [path.name for path in tmp_path.iterdir()] == ["r.yaml"]


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ("train", "dltool: Missing argument 'recipe'. See 'dltool train --help'."),
        ("recipes copy mlp/digits --nonsense", "dltool: No such option: --nonsense. See 'dltool recipes copy --help'."),
        ("nonsense", "dltool: No such command 'nonsense'. See 'dltool --help'."),
        ("train mlp/digit", "dltool: mlp/digit: no such recipe. Did you mean 'mlp/digits'?"),
        ("recipes copy mlp/digit", "dltool: no bundled recipe 'mlp/digit'. Did you mean 'mlp/digits'?"),
        ("recipes --format xml", "dltool: Invalid value for '--format': 'xml' is not one of 'table', 'csv', 'json'."),
    ],
)
def test_bad_usage_is_one_line_on_stderr_and_status_2(arguments: str, line: str) -> None:
    status, out, err = dltool(*arguments.split())
    assert (status, out) == (2, "")
    assert err.startswith(line) and len(err.splitlines()) == 1, err


def test_the_list_of_recipes_is_there_at_once() -> None:
    status, said, modules, seconds = watched("recipes", limit=LIGHT_SECONDS)
    assert (status, modules) == (0, [])
    assert "mlp/digits" in said
    assert seconds < LIGHT_SECONDS


def test_the_list_of_recipes_composes_in_a_shell(tmp_path: Path) -> None:
    command = f"set -o pipefail; {sys.executable} -m dltool recipes --format csv | head -1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, cwd=tmp_path)
    assert (done.stdout, done.stderr) == ("recipe,purpose\n", "")


def test_a_reader_that_left_gets_no_traceback() -> None:
    command = [sys.executable, "-m", "dltool", "recipes"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.close()  # before anything is written
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait() in (1, 141)  # click says 1; 128 + SIGPIPE is what a shell says


# -- the command's own functions, in this process ------------------------------------------------------


@pytest.mark.parametrize("form", ["table", "csv", "json"])
def test_every_format_lists_every_recipe(form: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = run(capsys, "recipes", "--format", form).out
    assert reading.bundled_names()
    assert all(name in text for name in reading.bundled_names())
    if form == "json":
        assert list(json.loads(text)["recipes"][0]) == ["recipe", "purpose"]


def test_the_listing_is_a_row_a_recipe_with_its_purpose() -> None:
    columns = recipes.listing().columns
    assert columns["recipe"] == reading.bundled_names()
    assert min(map(len, columns["purpose"])) > 10


def test_a_copy_is_the_same_text_and_prints_its_path(tmp_path: Path) -> None:
    printed = text_of(recipes.copy, "mlp/digits", tmp_path / "new", overwrite=False)
    copied = tmp_path / "new" / "digits.yaml"
    assert printed == f"{copied}\n"
    assert copied.read_bytes() == (reading.bundled() / "mlp/digits.yaml").read_bytes()
    assert reading.load(copied).plain() == reading.load("mlp/digits").plain()


def test_a_copy_replaces_nothing_unasked(tmp_path: Path) -> None:
    target = tmp_path / "digits.yaml"
    target.write_text("mine")
    with pytest.raises(UsageError, match="exists already. Use --overwrite to replace it."):
        text_of(recipes.copy, "mlp/digits", tmp_path, overwrite=False)
    assert target.read_text() == "mine"
    with pytest.raises(UsageError, match="was edited since dltool copied it, so --overwrite leaves it alone"):
        text_of(recipes.copy, "mlp/digits.yaml", tmp_path, overwrite=True)
    assert target.read_text() == "mine"
    target.unlink()
    text_of(recipes.copy, "mlp/digits.yaml", tmp_path, overwrite=True)
    text_of(recipes.copy, "mlp/digits.yaml", tmp_path, overwrite=True)  # what it copied itself
    assert "Digits" in target.read_text()


@pytest.mark.parametrize("folder", ["mine.yaml", "taken"])
def test_a_copy_goes_into_a_folder(tmp_path: Path, folder: str) -> None:
    (tmp_path / "taken").write_text("")
    with pytest.raises(UsageError, match="give the folder to copy into"):
        text_of(recipes.copy, "mlp/digits", tmp_path / folder, overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]


@pytest.mark.parametrize("base", ["cnn/base", "other/base", "base"])
def test_a_copy_takes_what_it_extends_along(tmp_path: Path, base: str, monkeypatch: pytest.MonkeyPatch) -> None:
    shelf = tmp_path / "shelf"
    for name in ("cnn/net", base):
        (shelf / name).parent.mkdir(parents=True, exist_ok=True)
    (shelf / f"{base}.yaml").write_text("# Base.\ndata: {dataset: Digits}\nmodel: [Flatten]\ncompile: {loss: mse}\n")
    (shelf / "cnn/net.yaml").write_text(f"# Net.\nextends: ../{base}.yaml\nseed: 4\n")
    monkeypatch.setattr(reading, "bundled", lambda: shelf)
    wanted = reading.load("cnn/net").plain()
    copied = Path(text_of(recipes.copy, "cnn/net", tmp_path / "new", overwrite=False).strip())
    copied.relative_to(tmp_path / "new")
    for path in shelf.rglob("*.yaml"):
        path.unlink()
    if base != "cnn/base":  # a copy keeps the folders that `extends` names
        assert copied == tmp_path / "new/cnn/net.yaml"
        assert reading.load(copied).plain() == wanted
