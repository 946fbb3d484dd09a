"""Running the command line in tests: in this process, or as a process of its own."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from dltool.cli import app

QUICK = """\
# A tiny net for tests.
data:
  dataset: Digits
  validation_split: 0.1
model:
  - Rescaling: 0.0625
  - Flatten
  - Dense: {units: 16, activation: relu}
  - Dense: ${data.num_classes}
compile:
  optimizer: {Adam: {learning_rate: 5e-3}}
  loss: {SparseCategoricalCrossentropy: {from_logits: true}}
  metrics: [accuracy]
fit: {epochs: 2, batch_size: 64}
seed: 1
"""


# Begins a program that imports Keras: without what it only imports if it is there, in half of the time.
BARE_KERAS = "import sys; sys.modules.update(dict.fromkeys(('matplotlib', 'pandas', 'scipy', 'sklearn')))\n"


@dataclass
class Done:
    """What a command gave."""

    status: int
    out: str
    err: str


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> Done:
    """dltool in this process, TensorFlow loaded once for all."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as ended:
        app.main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return Done(int(ended.value.code or 0), captured.out, captured.err)


def text_of(command: Callable[..., None], *arguments: object, **options: object) -> str:
    """Return what a command's function writes to stdout."""
    with contextlib.redirect_stdout(io.StringIO()) as written:
        command(*arguments, **options)
    return written.getvalue()


def trained(*arguments: object) -> None:
    """dltool train in this process, for fixtures, which have no capsys."""
    with pytest.raises(SystemExit) as ended:
        app.main(["train", *map(str, arguments), "--quiet"])
    assert not ended.value.code


def spawn(*arguments: object, **options: object) -> subprocess.Popen[str]:
    """dltool as a process of its own, its streams as pipes."""
    command = [sys.executable, "-m", "dltool", *map(str, arguments)]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    # a shell's background job ignores SIGINT, and so would its children
    options.setdefault("preexec_fn", lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, **options
    )


def write_quick(folder: Path, name: str = "quick.yaml", text: str = QUICK) -> Path:
    path = folder / name
    path.write_text(text)
    return path
