"""A quick command line: what is left out changes nothing of what it answers."""

from __future__ import annotations

import sys
from enum import Enum, StrEnum
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer

from dltool.cli import quick_start
from dltool.lr_schedule import tables
from tests.command_line import run


class Side(StrEnum):
    left = "left"
    right = "Right"


class Size(Enum):
    small = "s"


VALUES = (
    None, "", "a", "left", "right", "Right", "s", "S", "3", "-3", "1e2", "nan", "yes", "0", 0, 3, -3, 2.5, float("nan"),
    float("inf"), True, False, Side.left, Size.small, Path("a"), b"a", (), [], ("a", "b"), ["a"], (1, "a"), object,
)  # fmt: skip
KINDS: tuple[tuple[Any, dict[str, Any], bool], ...] = (
    (str, {}, False), (bool, {}, False), (int, {}, False), (int, {"min": 1, "max": 5}, False), (int, {"min": 0}, False),
    (int, {"min": 4, "clamp": True}, False), (float, {}, False), (float, {"min": 0.0, "max": 2.5}, False),
    (Side, {}, False), (Side, {"case_sensitive": False}, False), (Size, {}, False), (Path, {}, False),
    (str, {"parser": len}, False), (list[str], {}, True), (list[int], {}, True), (list[Path], {}, True),
    (list[Side], {}, True),
)  # fmt: skip


@pytest.mark.parametrize(("annotation", "options", "many"), KINDS)
def test_a_value_is_what_pydantic_makes_of_it(annotation: Any, options: dict[str, Any], many: bool) -> None:
    adapters = pytest.importorskip("typer._adapters")
    info = typer.models.OptionInfo(**options)
    adapter = adapters.try_build_adapter(annotation, info)
    looked_at = 0
    for value in VALUES:
        at_once = quick_start.quick(value, annotation, info, many)
        if at_once is quick_start.ELSEWHERE:
            continue
        looked_at += 1
        theirs = adapter.validate_python(value)
        assert (type(at_once), repr(at_once)) == (type(theirs), repr(theirs)), value
    assert looked_at or "parser" in options or "clamp" in options or annotation is Path


def test_an_unknown_command_is_compared_with_all_others(capsys: pytest.CaptureFixture[str]) -> None:
    done = run(capsys, "lr-schedul")
    assert done.status == 2 and "lr-schedule" in done.err
    assert run(capsys, "evaluate").status == 2


def test_help_is_imported_without_what_it_does_not_need(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith(("rich.markdown", "typer.rich_utils"))]:
        monkeypatch.delitem(sys.modules, name)
    quick_start.import_help()
    assert "rich.markdown" not in sys.modules
    from rich.markdown import Markdown

    assert type(sys.modules["typer.rich_utils"].Markdown("# x")) is Markdown


def test_distinct_steps_are_those_of_numpy() -> None:
    steps = np.random.default_rng(0).integers(0, 50, 200)
    assert tables._distinct(steps).tolist() == np.unique(steps).tolist()
    assert tables._distinct(steps[:1]).tolist() == steps[:1].tolist()
