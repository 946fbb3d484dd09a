"""Progress on stderr: plain lines elsewhere, on a terminal one live line of its width."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import sys
import termios
from pathlib import Path
from types import SimpleNamespace

import pytest

from dltool.training import progress
from dltool.training.progress import TrainingProgress
from tests.command_line import QUICK, write_quick

ROW = {"epoch": 3, "step": 60, "seconds": 2.0, "learning_rate": 0.00125, "loss": 0.51234, "val_loss": 0.75}


def procedure(**changes: object) -> SimpleNamespace:
    return SimpleNamespace(**{"epochs": 10, "steps": 20, "examples_per_second": 500.0, **changes})


def test_an_epoch_is_one_plain_line_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    TrainingProgress().epoch_ended(procedure(), ROW)
    captured = capsys.readouterr()
    assert captured.out == ""
    line = "epoch  3/10  loss 0.5123  val_loss 0.75  2.0 s  learning_rate 0.00125  500 examples/s\n"
    assert captured.err == line


def test_quiet_shows_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    TrainingProgress(quiet=True).epoch_ended(procedure(), ROW)
    assert capsys.readouterr() == ("", "")


def test_a_message_is_not_read_as_markup_nor_wrapped(capsys: pytest.CaptureFixture[str]) -> None:
    line = "[bold]fit.callbacks[0][/bold] " + "x" * 200
    TrainingProgress().say(line)
    assert capsys.readouterr().err == f"dltool: {line}\n"


@pytest.mark.parametrize(("seconds", "text"), [(0, "0:00"), (61.9, "1:01"), (3725, "1:02:05")])
def test_time_left(seconds: float, text: str) -> None:
    assert progress._clock(seconds) == text


def terminal(command: list[str], columns: int) -> tuple[int, str]:
    """A command's status and everything it writes to a terminal of that many columns."""
    process, master = pty.fork()
    if process == 0:
        os.environ.update(TERM="xterm-256color", COLUMNS=str(columns))
        os.execv(command[0], command)
    fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    written = b""
    while True:
        try:
            chunk = os.read(master, 65536)
        except OSError:  # Linux's end of file
            break
        if not chunk:
            break
        written += chunk
    _, status = os.waitpid(process, 0)
    os.close(master)
    return os.waitstatus_to_exitcode(status), written.decode()


def test_a_terminal_of_80_columns_shows_a_live_bar_that_never_wraps(tmp_path: Path) -> None:
    text = QUICK.replace("metrics: [accuracy]", "metrics: [accuracy, {SparseTopKCategoricalAccuracy: 2}]")
    recipe = write_quick(tmp_path, text=text)
    command = [
        sys.executable,
        "-m",
        "dltool",
        "train",
        str(recipe),
        "fit.batch_size=8",
        "--out",
        str(tmp_path / "r"),
    ]
    status, written = terminal(command, 80)
    assert status == 0, written
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", written)
    lines = re.split(r"[\r\n]+", plain)
    live = [line for line in lines if re.match(r"epoch \d/2  step \d+/162 ", line)]
    assert live, f"no live bar: {lines}"
    assert max(map(len, live)) <= 80
    assert any("━" in line and " left" in line and "loss" in line for line in live)
    assert "\x1b[2K\x1b[1A\x1b[2K" not in written, "the live region was higher than one line"
    ended = [line for line in lines if re.match(r"epoch \d/2  loss ", line)]
    assert [line[:9] for line in ended] == ["epoch 1/2", "epoch 2/2"], "a line an epoch remains"
    assert "val_sparse_top_k_categorical_accuracy" in ended[0]
