"""Nothing that a file holds is obeyed by a terminal, starts a new line of a message or draws a formula."""

from __future__ import annotations

import io
import json
import os
import pty
import re
import subprocess
import sys
import unicodedata
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dltool.cli import app
from dltool.errors import DataError, Place, Problem, RecipeError, messages
from dltool.errors.control_characters import visible, visible_between_styles, visible_json, visible_lines
from dltool.output import tables
from dltool.training.progress import TrainingProgress
from tests import command_line

HOSTILE = "a\x1b]0;owned\x07b\x9b31mc\u202ed\r\n\x7f\udc9be\u2028f\ufeff"
SHOWN = r"a\x1b]0;owned\x07b\x9b31mc\u202ed\r\n\x7f\udc9be\u2028f\ufeff"
UTF_8 = HOSTILE.replace("\udc9b", "")  # what pandas holds
OBEYED = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")
COLOURS = re.compile(r"\x1b\[[0-9;]*m")


def obeyed(text: str) -> list[str]:
    """What a terminal would obey in text that dltool wrote, its colours apart."""
    return OBEYED.findall(COLOURS.sub("", text))


def test_control_characters_become_visible() -> None:
    assert visible(HOSTILE) == SHOWN
    assert visible("one\ttwo\nthree") == r"one\ttwo\nthree"
    assert visible_lines("one\ttwo\nthree\x1b[2J") == "one\ttwo\nthree\\x1b[2J"
    assert visible_between_styles("\x1b[1mbold\x1b[0m \x1b[2J \x1b]8;;x\x1b\\") == (
        "\x1b[1mbold\x1b[0m \\x1b[2J \\x1b]8;;x\\x1b\\"
    )


def test_every_control_and_direction_mark_of_unicode_is_escaped_and_no_letter() -> None:
    for code in range(sys.maxunicode + 1):
        character = chr(code)
        controls = unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp")
        turns = unicodedata.bidirectional(character) in ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI")
        if controls or turns:
            assert visible(character) != character, hex(code)
        elif unicodedata.category(character)[0] in "LMNPS":
            assert visible(character) == character, hex(code)


@pytest.mark.parametrize("text", ["Käse", "日本語", "می\u200cخواهم", "👩\u200d🚀", "العربية", "naïve $x$ \\n"])
def test_words_of_any_language_stay_as_they_are(text: str) -> None:
    assert visible(text) == text == visible_lines(text)


def test_json_stays_the_same_values() -> None:
    written = json.dumps({HOSTILE: [HOSTILE, "\U000e0041"]}, ensure_ascii=False)
    assert not obeyed(visible_json(written))
    assert json.loads(visible_json(written)) == {HOSTILE: [HOSTILE, "\U000e0041"]}


def test_a_message_has_the_lines_that_dltool_gave_it() -> None:
    assert str(DataError(f"{HOSTILE}: is damaged")) == f"{SHOWN}: is damaged"
    assert str(DataError("one\ntwo", "three")) == "one\\ntwo\nthree"
    place = Place(HOSTILE, 1, 2)
    problems = [Problem(place, f"model[0].{HOSTILE}", "no such"), Problem(place, "b", HOSTILE)]
    assert str(RecipeError(problems)).count("\n") == 1
    assert not obeyed(str(RecipeError(problems)))


@pytest.mark.parametrize("form", ["table", "csv", "json"])
@pytest.mark.parametrize(
    "frame", [pd.DataFrame({UTF_8: [UTF_8], "y": [1.0]}), tables.Rows({HOSTILE: [HOSTILE]})], ids=["pandas", "rows"]
)
def test_a_report_on_a_terminal_shows_control_characters(
    frame: pd.DataFrame | tables.Rows, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    drawn = tables.render({f"title {HOSTILE}": frame}, form)
    assert "owned" in drawn
    assert not obeyed(drawn)


def test_a_program_gets_a_csv_as_it_is() -> None:
    text = "a\x1b[31mb"
    assert tables.render({"x": tables.Rows({"name": [text]})}, "csv") == f"name\n{text}\n"


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("write", [messages.write, messages.write_text], ids=["results", "text"])
def test_text_of_a_model_is_faithful_to_programs_and_harmless_on_a_terminal(
    write: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    said = "one\ttwo\n\x1b[2J\x1b]52;c;eA==\x07\u202e"
    for stream, wanted in (
        (io.StringIO(), said),
        (Terminal(), "one\ttwo\n\\x1b[2J\\x1b]52;c;eA==\\x07\\u202e"),
    ):
        monkeypatch.setattr(sys, "stdout", stream)
        write(said)
        assert stream.getvalue() == wanted


def test_colours_of_a_text_are_shown_and_those_of_a_table_are_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    for write, wanted in ((messages.write_text, r"\x1b[8mhidden"), (messages.write, "\x1b[8mhidden")):
        monkeypatch.setattr(sys, "stdout", Terminal())
        write("\x1b[8mhidden")
        assert sys.stdout.getvalue() == wanted  # type: ignore[attr-defined]


def test_progress_and_warnings_show_control_characters(capsys: pytest.CaptureFixture[str]) -> None:
    TrainingProgress().say(f"epoch 1 {HOSTILE} 0.5")
    assert not obeyed(capsys.readouterr().err)
    assert not obeyed(app._format_warning(UserWarning(HOSTILE), UserWarning, "x.py", 1))


def test_dltool_formats_warnings_of_other_packages(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(warnings, "formatwarning", warnings.formatwarning)
    command_line.run(capsys, "--version")
    assert warnings.formatwarning is app._format_warning


def test_a_terminal_that_shows_an_error_is_sent_no_control_sequence(tmp_path: Path) -> None:
    recipe = tmp_path / "n\x1b]0;owned\x07\x9b2J.yaml"
    recipe.write_text('model: [{"De\\e[2Jnse\\n\\u202e": {"\\e]52;c;eA==\\a": 1}}, {Dense: {"x\\ny\\x9b": 2}}]\n')
    main, terminal = pty.openpty()
    done = subprocess.run(
        [sys.executable, "-m", "dltool", "lr-schedule", recipe],
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        cwd=Path(app.__file__).parents[1],
        check=False,
    )
    os.close(terminal)
    record = b""
    try:
        while part := os.read(main, 65536):
            record += part
    except OSError:  # Linux's end of a terminal
        pass
    os.close(main)
    text = (
        record.decode().replace(messages.ERASED, "").replace("\r\n", "\n")
    )  # as the terminal's driver writes line ends
    assert done.returncode == 2
    assert "owned" in text
    assert not obeyed(text), text


def test_a_plot_in_the_terminal_shows_control_characters_of_labels() -> None:
    from dltool.output.terminal_plot import Curve, plot

    line = np.arange(3.0)
    for curves in ([Curve(HOSTILE, line, line)], [Curve(HOSTILE, line, line), Curve("b", line, line)]):
        assert not obeyed(plot(curves, f"title {HOSTILE}", "step"))


def test_a_page_shows_names_as_text() -> None:
    from dltool.output.picture_files import page

    name = f"<script>alert(1)</script>{UTF_8}\" onerror='x"
    written = page(name, [("a.png", name)], {name: pd.DataFrame({name: [name]})})
    assert "<script" not in written
    assert not obeyed(written)
    assert " onerror='" not in written.split("</style>")[1].split("<table")[0]


def test_a_picture_draws_names_and_no_formulas(tmp_path: Path) -> None:
    from matplotlib.figure import Figure

    from dltool.output.history import plot_history
    from dltool.output.matplotlib_settings import plain_label

    for name in ("$\\frac{$", "a$b$", "\\$5 and $6", "$x"):
        drawn, formula = Figure().text(0, 0, plain_label(name))._preprocess_math(plain_label(name))
        assert (drawn, formula) == (name, False)
    rows = [{"epoch": 1, "step": 2, "seconds": 1.0, "loss": 1.0, "$\\frac{$": 0.5, "learning_rate": 0.1}]
    with (tmp_path / "history.png").open("wb") as file:  # matplotlib raises ValueError at a formula that it can't read
        plot_history(rows, file, "$\\frac{$ \x1b[2J")
    assert (tmp_path / "history.png").stat().st_size


def test_a_warning_sends_no_colours_of_a_name(capsys: pytest.CaptureFixture[str]) -> None:
    from dltool.errors import messages

    messages.say("column 'x\x1b[8m\u202e' looks like an id")
    assert capsys.readouterr().err == "dltool: column 'x\\x1b[8m\\u202e' looks like an id\n"
