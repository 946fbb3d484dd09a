"""All mistakes come at once, each a line with one prefix: of options, overrides and the recipe."""

from __future__ import annotations

from pathlib import Path

import pytest

from dltool.errors import Mistakes, Place, Problem, RecipeError, UsageError
from dltool.recipe import build, catalogue, reading
from dltool.recipe import builder as objects
from tests.command_line import run, write_quick

SHOWN = {  # arguments -> the lines, without the prefix
    "train quick.yaml fitt=1 --format xml --devise cpu": [
        "No such option: --devise (Possible options: --device, --resume). See 'dltool train --help'.",
        "Invalid value for '--format': 'xml' is not one of 'table', 'csv', 'json'. See 'dltool train --help'.",
        "command line:1:1: fitt: unknown key. Did you mean 'fit'?",
    ],
    "train quick.yaml fitt=1 model.1.Flatten.dataformat=x --resume --overwrite": [
        "--resume and --overwrite exclude each other",
        "command line:1:1: fitt: unknown key. Did you mean 'fit'?",
        "command line:2:1: model[1].Flatten: no argument 'dataformat'. Did you mean 'data_format'?",
    ],
    "eval nowhere --require a --require b<c --split x": [
        "--require 'a': write FIGURE OPERATOR NUMBER, such as accuracy>=0.97",
        "--require 'b<c': write FIGURE OPERATOR NUMBER, such as accuracy>=0.97",
        "--split x: must be one of train, validation, test, all",
    ],
    "summary quick.yaml seed=x --classes 3 --plot a.txt": [
        "--plot a.txt: must end in .png or .svg.",
        "--classes goes with --input-shape",
        "command line:1:6: seed: must be an int from 0 to 4294967295. Got 'x'.",
    ],
    "init-stats quick.yaml seed=x --steps y --require nothing>1 --widths z": None,
    "lr-find quick.yaml --log --epochs 3": [
        "No such option: --log (Possible options: --plot, --plugin, --to). See 'dltool lr-find --help'.",
        "No such option: --epochs (Possible options: --steps). See 'dltool lr-find --help'.",
    ],
    "generate nowhere --top-p 2 --temperature inf": [
        "--top-p 2: must lie above 0, up to 1",
        "--temperature inf: must be a finite number >= 0",
    ],
}


@pytest.mark.parametrize("arguments", SHOWN)
def test_mistakes_are_told_together(
    arguments: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_quick(tmp_path)
    done = run(capsys, *arguments.split())
    lines = done.err.splitlines()
    assert (done.status, done.out) == (2, "")
    assert [line.count("dltool: ") for line in lines] == [1] * len(lines)
    assert len(set(lines)) == len(lines) >= 2
    if SHOWN[arguments] is not None:
        assert [line.removeprefix("dltool: ") for line in lines] == SHOWN[arguments]
    assert [path.name for path in tmp_path.iterdir()] == ["quick.yaml"]


def test_the_bare_command_is_its_help_with_status_2(capsys: pytest.CaptureFixture[str]) -> None:
    done = run(capsys)
    assert done.status == 2
    assert "Usage: dltool" in done.out + done.err and "train" in done.out + done.err
    assert "dltool: " not in done.err


def test_at_most_20_problems_are_shown_and_the_others_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    done = run(capsys, "train", write_quick(tmp_path), *(f"key{number}=1" for number in range(23)))
    lines = done.err.splitlines()
    assert len(lines) == 21
    assert lines[0].startswith("dltool: command line:1:1: key0: unknown key.")
    assert lines[-1] == "dltool: and 3 more problems"
    assert str(RecipeError([Problem(Place("f", n, 1), "", "wrong") for n in range(21)])).endswith("and 1 more problem")


def test_one_mistake_is_raised_as_it_is_and_several_as_one() -> None:
    mistakes = Mistakes()
    mistakes.finish()
    with mistakes:
        raise RecipeError([Problem(Place("f", 1, 1), "", "wrong")])
    with pytest.raises(RecipeError, match="f:1:1: wrong"):
        mistakes.finish()
    with mistakes:
        raise UsageError("second")
    with pytest.raises(UsageError) as raised:
        mistakes.finish()
    assert str(raised.value) == "f:1:1: wrong\nsecond"


def test_every_bundled_recipe_is_without_a_problem() -> None:
    assert reading.bundled_names()
    for name in reading.bundled_names():
        loaded, problems = reading.read(name)
        builder = objects.Builder(facts=None, find=catalogue.outline)
        build.check_objects(builder, loaded)
        assert (name, problems + builder.problems) == (name, [])
