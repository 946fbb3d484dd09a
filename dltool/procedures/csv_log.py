"""The file of a `CSVLogger` when training goes on: one header, and each epoch once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras

from dltool.writing import atomic


def go_on(callbacks: Sequence[Any], epochs: int) -> None:
    """Let loggers append to what they have written of the first `epochs` epochs; later rows are cut off.

    Rows of later epochs are there where a training was killed after its last saved state.
    """
    for callback in callbacks:
        if isinstance(callback, keras.callbacks.CSVLogger):
            callback.append = True
            path = Path(callback.filename)
            if path.is_file():
                _cut(path, callback.sep, epochs)


def _cut(path: Path, separator: str, epochs: int) -> None:
    text = path.read_bytes()
    lines = text.splitlines(keepends=True)
    if lines and not lines[-1].endswith(b"\n"):  # cut short while it was written
        lines.pop()
    while lines and _epoch(lines[-1], separator) >= epochs:
        lines.pop()
    kept = b"".join(lines)
    if kept != text:
        with atomic(path) as file:
            file.write(kept)


def _epoch(line: bytes, separator: str) -> int:
    """The epoch of a row, counted from 0; -1 of a header."""
    first = line.split(separator.encode())[0]
    return int(first) if first.isdigit() else -1
