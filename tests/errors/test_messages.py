"""Messages, the live line and streams that lack characters."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from dltool.cli import app
from dltool.errors import messages
from dltool.output import tables
from dltool.output.tables import Rows

TABLE = """\
# Äpfel und 日本 — ein Rezept…
data: {dataset: {Csv: {path: obst-ü.csv, target: art}}, validation_split: 0.2}
model: [{FeatureSpace: "${data.features}"}, {Dense: "${data.num_classes}"}]
compile:
  optimizer: {SGD: {learning_rate: {CosineDecay: {initial_learning_rate: 0.1, decay_steps: 1 epochs}}}}
  loss: {SparseCategoricalCrossentropy: {from_logits: true}}
fit: {epochs: 1, batch_size: 8}
"""


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def become_terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Let stderr be a terminal of 20 columns; not in a fixture, after which pytest sets its own stderr."""
    stream = Terminal()
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "20")
    return stream


@pytest.fixture
def fruit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a recipe and a table whose names are not ASCII."""
    monkeypatch.chdir(tmp_path)
    rows = [
        f"{number % 7},{'grün' if number % 3 else '青'},{'Äpfel' if number % 2 else '日本'}" for number in range(60)
    ]
    Path("obst-ü.csv").write_text("\n".join(["größe,farbe,art", *rows]) + "\n", encoding="utf-8")
    Path("ü.yaml").write_text(TABLE, encoding="utf-8")
    return tmp_path


def test_every_line_of_a_message_has_the_prefix(capsys: pytest.CaptureFixture[str]) -> None:
    messages.say("one\ntwo")
    assert capsys.readouterr().err == "dltool: one\ndltool: two\n"


def test_a_status_keeps_to_the_terminal_and_is_replaced_by_what_follows(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = become_terminal(monkeypatch)
    messages.show_status(True)
    messages.status("loading a large library ...")
    messages.say("done")
    messages.show_status(False)
    messages.status("nothing")
    assert terminal.getvalue() == "\r\x1b[2Kloading a large li…\r\x1b[2Kdltool: done\n"


@pytest.mark.parametrize(("term", "quiet"), [("dumb", False), ("xterm", True)])
def test_no_status_without_a_terminal_that_erases_nor_under_quiet(
    term: str, quiet: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = become_terminal(monkeypatch)
    monkeypatch.setenv("TERM", term)
    messages.show_status(not quiet)
    messages.status("loading")
    assert terminal.getvalue() == ""


def test_a_command_shows_what_it_reads_before_it_reads_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    terminal = become_terminal(monkeypatch)
    with pytest.raises(SystemExit):
        app.main(["eval", str(tmp_path / "x")])
    shown, _, rest = terminal.getvalue().removeprefix(messages.ERASED).partition(messages.ERASED)
    assert shown.startswith("eval ") and rest.startswith("dltool: ")


@pytest.mark.parametrize(
    ("text", "ascii_", "latin"),
    [
        ("┏━┳┓│a…", "+-++|a...", "+-++|a..."),
        ("⠤⠀", "* ", "* "),
        ("é ü", "\\u00e9 \\u00fc", "é ü"),
        ("日", "\\u65e5", "\\u65e5"),
        ("😀", "\\ud83d\\ude00", "\\ud83d\\ude00"),
        ("1 ± 2 × 3 → 4", "1 +- 2 x 3 -> 4", "1 ± 2 × 3 -> 4"),
    ],
)
def test_what_an_encoding_lacks_is_shown_by_likenesses_and_numbers(text: str, ascii_: str, latin: str) -> None:
    for encoding, wanted in (("ascii", ascii_), ("latin-1", latin), ("utf-8", text)):
        stream = io.TextIOWrapper(io.BytesIO(), encoding)
        assert messages.as_shown(text, stream) == wanted
        stream.reconfigure(errors="dltool")
        stream.write(text)
        stream.flush()
        assert stream.buffer.getvalue().decode(encoding) == wanted  # type: ignore[attr-defined]


def test_a_name_that_is_no_text_is_written_as_its_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.TextIOWrapper(io.BytesIO(), "utf-8")
    monkeypatch.setattr(sys, "stdout", stream)
    messages.begin()
    messages.write(os.fsdecode(b"\xff.yaml"))
    assert stream.buffer.getvalue() == b"\xff.yaml"  # type: ignore[attr-defined]


def test_a_table_for_ascii_is_still_a_table_and_json_the_same_values(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.TextIOWrapper(io.BytesIO(), "ascii")
    rows = Rows({"class": ["Äpfel", "x…"], "n": [1, 2]})
    drawn = tables.render({"t": rows}, "table", stream=stream)
    lines = messages.as_shown(drawn, stream).splitlines()[1:]
    assert len({len(line) for line in lines}) == 1 and "| \\u00c4pfel | 1 |" in lines
    text = tables.render({"t": rows}, "json", stream=stream)
    assert text.isascii() and json.loads(text)["t"][0]["class"] == "Äpfel"


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_commands_work_where_unicode_cannot_be_shown(
    encoding: str, fruit: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for command, status in (
        ("train ü.yaml --out r-ü", 0), ("eval r-ü --confusion", 0), ("eval r-ü --format json", 0),
        ("lr-schedule ü.yaml", 0), ("summary r-ü", 0), ("recipes", 0), ("--help", 0), ("train ü.yaml fitß=1", 2),
        ("eval r-ü --predictions p-ü.csv", 0),
    ):  # fmt: skip
        streams = [io.TextIOWrapper(io.BytesIO(), encoding) for _ in range(2)]
        monkeypatch.setattr(sys, "stdout", streams[0])
        monkeypatch.setattr(sys, "stderr", streams[1])
        with pytest.raises(SystemExit) as ended:
            app.main(command.split())
        out, err = (stream.buffer.getvalue().decode(encoding) for stream in streams)  # type: ignore[attr-defined]
        assert int(ended.value.code or 0) == status, err
        assert "Unicode" not in err and "fault" not in err
        assert out if status == 0 else err


def test_the_c_locale_reads_names_and_values_beyond_ascii(fruit: Path) -> None:
    environment = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    environment.pop("PYTHONIOENCODING", None)
    program = "import sys\nfrom dltool.cli import app\napp.main(sys.argv[1:])"
    command = [sys.executable, "-c", program, "lr-schedule", "ü.yaml", "--format", "json"]
    done = subprocess.run(command, env=environment, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["schedules"][0]["steps"] == 5  # 38 of 60 rows for training: 5 batches of 8
    wrong = [*command[:3], "train", "ü.yaml", "fitß=1"]
    done = subprocess.run(wrong, env=environment, capture_output=True, check=False)
    assert (done.returncode, done.stdout) == (2, b"")
    assert done.stderr.startswith(b"dltool: command line:1:1: fit\\u00df: unknown key.")
