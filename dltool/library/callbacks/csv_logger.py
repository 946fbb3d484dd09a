"""Loss and metrics of each epoch in a CSV file, as Keras's callback of this name writes them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras

from dltool.output.files import atomic


class CSVLogger(keras.callbacks.CSVLogger):
    """Keras's CSVLogger, whose file is opened only when the first epoch is done.

    Until then nothing is touched, so that a recipe that fails in its first step costs no earlier file its content. A
    resumed training goes on below the rows of the epochs that its state knows; rows of epochs that were lost with a
    killed process are written again, not twice.

    Args:
        filename: the CSV.
        separator: between columns.
        append: whether rows are added to a file that is there.
    Limits: a metric that is first measured in a later epoch has no column.
    Reference: keras.callbacks.CSVLogger.
    """

    def __init__(self, filename: str, separator: str = ",", append: bool = False) -> None:
        if not isinstance(separator, str) or len(separator) != 1 or separator in '\r\n"':
            raise ValueError(f"'separator' must be one character. Got {separator!r}.")
        super().__init__(filename, separator, append)
        self.epochs_written = 0  # by this training; part of its state

    def on_train_begin(self, logs: Any = None) -> None:
        self.epochs_written = 0
        self.csv_file, self.writer, self.keys = None, None, None

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if self.csv_file is None:
            if self.epochs_written:
                self._drop_lost(epoch)
                self.append = True
            keys = self.keys
            Path(self.filename).parent.mkdir(parents=True, exist_ok=True)
            self.append_header = True  # unless Keras finds one
            super().on_train_begin()
            self.keys = keys  # a resumed training keeps its columns
        super().on_epoch_end(epoch, logs)
        self.epochs_written = epoch + 1

    def _drop_lost(self, epoch: int) -> None:
        """Remove the last rows from `epoch` on, which a process wrote that was killed before it saved its state."""
        path = Path(self.filename)
        if not path.is_file():
            return
        content = path.read_bytes()
        lines = content.splitlines(keepends=True)
        if lines and not lines[-1].endswith(b"\n"):  # cut short while it was written
            lines.pop()
        while lines and _epoch(lines[-1], self.sep) >= epoch:
            lines.pop()
        if (kept := b"".join(lines)) != content:
            with atomic(path) as file:
                file.write(kept)


def _epoch(line: bytes, separator: str) -> int:
    """Return the epoch of a row, counted from 0; -1 of a header."""
    first = line.partition(separator.encode())[0]
    return int(first) if first.isdigit() else -1
