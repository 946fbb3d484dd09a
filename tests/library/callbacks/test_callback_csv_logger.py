"""CSVLogger: Keras's file, opened late, gone on with and cleared of what a killed process wrote."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import pytest

from dltool.library.callbacks.csv_logger import CSVLogger

LOGS = [{"loss": 0.5, "accuracy": 0.25}, {"loss": 0.25, "accuracy": 0.5}, {"loss": 0.125, "accuracy": 1.0}]


def write(callback: Any, epochs: range) -> Path:
    callback.set_model(keras.Sequential())
    for epoch in epochs:
        callback.on_epoch_end(epoch, LOGS[epoch])
    callback.on_train_end()
    return Path(callback.filename)


@pytest.mark.parametrize("separator", [",", ";"])
def test_the_file_is_that_of_keras(tmp_path: Path, separator: str) -> None:
    files = []
    for kind, name in ((CSVLogger, "a.csv"), (keras.callbacks.CSVLogger, "b.csv")):
        callback = kind(str(tmp_path / name), separator)
        callback.on_train_begin()
        files.append(write(callback, range(3)).read_bytes())
    assert files[0] == files[1] and files[0].startswith(b"epoch")


def test_an_earlier_file_is_untouched_until_the_first_epoch_is_done(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text("earlier")
    callback = CSVLogger(str(path))
    callback.on_train_begin()
    callback.on_epoch_begin(0)
    assert path.read_text() == "earlier"
    write(callback, range(1))
    assert path.read_text().splitlines() == ["epoch,accuracy,loss,val_accuracy,val_loss", "0,0.25,0.5,NA,NA"]


@pytest.mark.parametrize("lost", ["", "1,0.9,0.9,NA,NA\r\n2,0.9,0.9,NA,NA\r\n", "1,0."], ids=["none", "rows", "half"])
def test_a_resumed_training_has_one_header_and_each_epoch_once(tmp_path: Path, lost: str) -> None:
    whole = CSVLogger(str(tmp_path / "whole.csv"))
    whole.on_train_begin()
    wanted = write(whole, range(3)).read_bytes()
    path = tmp_path / "log.csv"
    first = CSVLogger(str(path))
    first.on_train_begin()
    write(first, range(1))
    state = {"epochs_written": first.epochs_written, "keys": first.keys, "append_header": first.append_header}
    path.write_bytes(path.read_bytes() + lost.encode())  # of a process that was killed
    second = CSVLogger(str(path))
    second.on_train_begin()
    vars(second).update(state)
    assert write(second, range(1, 3)).read_bytes() == wanted
    path.unlink()
    third = CSVLogger(str(path))
    third.on_train_begin()
    vars(third).update(state)
    assert write(third, range(1, 3)).read_text().startswith("epoch,"), "without its file it begins one"


@pytest.mark.parametrize("separator", ["", "ab", "\n", '"'])
def test_a_separator_is_one_character(separator: str) -> None:
    with pytest.raises(ValueError, match="'separator' must be one character"):
        CSVLogger("log.csv", separator)
